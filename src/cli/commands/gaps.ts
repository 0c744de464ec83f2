import type { Command } from 'commander'
import type { Gap } from '../../app/api.ts'
import type { ExplainedGap } from '../../app/inspect.ts'
import { openClasses } from '../../coverage/gap-class.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { counted, number, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { csv, right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads')
    .addHelpText('after', '\n"everybar gaps explain …" shows the archived answers and when they were given.')
    .option('--csv', 'comma-separated, for other programs')
    .action(
      run(
        async (cli, operands: readonly string[], options: SelectionOptions & { readonly csv?: boolean }) => {
          const explained = operands[0] === 'explain'
          const selection = await readSelectionIfAny(cli, explained ? operands.slice(1) : operands, options)
          const { explain, gaps } = await import('../../app/commands.ts')
          const found = explained
            ? await explain(await cli.app(), selection)
            : await gaps(await cli.app(), selection)
          const open = found.some((gap) => openClasses.has(gap.class))
          return {
            data: found,
            text: options.csv
              ? gapsCsv(found)
              : explained
                ? explainText(found as readonly ExplainedGap[])
                : gapsText(found),
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
  if (found.length === 0) return 'no gaps'
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

/** A paragraph a gap: what is missing, why, and what shows it. */
function explainText(found: readonly ExplainedGap[]): string {
  if (found.length === 0) return 'no gaps'
  return found
    .map((gap) =>
      [
        `${gap.series} ${time(gap.range.startMs)} … ${time(gap.range.endMs)}: ${counted(gap.bars, 'bar')}, ${gap.class}`,
        `  ${gap.evidence}`,
        `  ${gap.settled ? 'settled' : 'not settled'}; asked ${gap.askedAt.length === 0 ? 'never' : gap.askedAt.join(', ')}`,
        ...gap.answers.map((path) => `  ${path}`),
      ].join('\n'),
    )
    .join('\n\n')
}
