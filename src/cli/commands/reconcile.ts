import type { Command } from 'commander'
import type { ReconcileReport } from '../../app/databases.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { counted, number, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

interface ReconcileFlags extends SelectionOptions {
  readonly store: string
  readonly dryRun?: boolean
}

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads')
    .requiredOption('--store <name>', 'the store to compare with the archive: parquet, postgres, bigquery')
    .option('--dry-run', 'say what differs and mend nothing')
    .action(
      run(async (cli, operands: readonly string[], options: ReconcileFlags) => {
        const selection = await readSelectionIfAny(cli, operands, options)
        const { reconcileOne } = await import('../../app/commands.ts')
        const wish = { store: options.store, repair: options.dryRun !== true }
        const report = await reconcileOne(await cli.app(), selection, wish)
        const mended = report.different === report.repaired
        return {
          data: report,
          text: reportText(report),
          exitCode: mended ? exitCodes.complete : exitCodes.corrupt,
        }
      }),
    )
}

function reportText({ store, months, different, repaired }: ReconcileReport): string {
  const rows = months
    .filter(({ same }) => !same)
    .map((one) => [
      one.series,
      time(one.month.startMs).slice(0, 7),
      number(one.archived),
      number(one.stored),
      one.archivedDigest.slice(0, 12),
      one.storedDigest.slice(0, 12),
      one.repaired ? 'mended' : 'differs',
    ])
  const columns = [
    'series',
    'month',
    right('archived'),
    right('stored'),
    'archived digest',
    'stored digest',
    '',
  ]
  const verdict =
    different === 0
      ? `${store} holds what the archive holds: ${counted(months.length, 'month')} compared`
      : `${counted(different, 'month')} of ${number(months.length)} differed, ${number(repaired)} mended`
  return different === 0 ? verdict : `${table(columns, rows)}\n\n${verdict}`
}
