import type { Command } from 'commander'
import type { DatedRevision } from '../../pipeline/history.ts'
import { counted, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads').action(
    run(async (cli, operands: readonly string[], options: SelectionOptions) => {
      const selection = await readSelectionIfAny(cli, operands, options)
      const { revisions } = await import('../../app/commands.ts')
      const found = await revisions(await cli.app(), selection)
      return { data: found, text: revisionsText(found) }
    }),
  )
}

function revisionsText(found: readonly DatedRevision[]): string {
  const rows = found.map((one) => [
    one.series,
    time(one.openTimeMs),
    one.changes.map(({ field, was, is }) => `${field} ${was} → ${is}`).join(', '),
    time(one.wasSeenAtMs),
    time(one.seenAtMs),
  ])
  const columns = ['series', 'bar', 'changes', 'first seen', 'revised']
  return `${table(columns, rows)}\n\n${counted(found.length, 'revised bar')}`
}
