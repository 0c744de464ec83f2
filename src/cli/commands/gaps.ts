import type { Command } from 'commander'
import type { Gap } from '../../app/api.ts'
import { exitCodes } from '../exit-code.ts'
import { counted, number, openClasses, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { csv, right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command)
    .option('--csv', 'comma-separated, for other programs')
    .action(
      run(
        async (cli, operands: readonly string[], options: SelectionOptions & { readonly csv?: boolean }) => {
          const selection = await readSelectionIfAny(cli, operands, options)
          const { gaps } = await import('../../app/commands.ts')
          const found = await gaps(await cli.app(), selection)
          const open = found.some((gap) => openClasses.has(gap.class))
          return {
            data: found,
            text: options.csv ? gapsCsv(found) : gapsText(found),
            exitCode: open ? exitCodes.incomplete : exitCodes.complete,
          }
        },
      ),
    )
}

const headings = ['series', 'class', 'from', 'to', 'bars', 'evidence'] as const

const gapsCsv = (found: readonly Gap[]): string =>
  csv(
    headings,
    found.map((gap) => [
      gap.series,
      gap.class,
      time(gap.range.startMs),
      time(gap.range.endMs),
      gap.bars,
      gap.evidence,
    ]),
  )

function gapsText(found: readonly Gap[]): string {
  const columns = headings.map((heading) => (heading === 'bars' ? right(heading) : heading))
  const rows = found.map((gap) => [
    gap.series,
    gap.class,
    time(gap.range.startMs),
    time(gap.range.endMs),
    number(gap.bars),
    gap.evidence,
  ])
  const bars = found.reduce((sum, gap) => sum + gap.bars, 0)
  return `${table(columns, rows)}\n\n${counted(found.length, 'gap')}, ${counted(bars, 'bar')}`
}
