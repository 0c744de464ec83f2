import type { Command } from 'commander'
import type { Selection } from '../../app/api.ts'
import { EverybarError } from '../../model/errors.ts'
import { timeRange } from '../../model/time.ts'
import { readWhen } from '../../model/when.ts'
import type { Cli } from '../cli.ts'
import { type HistoryOptions, historyOptions, readHistoryOptions } from '../history-flags.ts'
import type { Runner } from '../program.ts'
import { readSelection, readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'

export function define(command: Command, run: Runner): void {
  historyOptions(selectionOptions(command))
    .option('--recheck <range|share>', 'ask about answered slices again: 2024-01/2024-02, or 5%')
    .action(
      run(async (cli, operands: readonly string[], given: HistoryOptions & { readonly recheck?: string }) => {
        const options = readHistoryOptions(cli, given)
        const { syncText } = await import('../sync-text.ts')
        if (await importsKite(cli, operands, options)) {
          const { syncWithKite } = await import('../kite-sync.ts')
          return syncWithKite(cli, await readSelectionIfAny(cli, [], options), options, syncText)
        }
        const recheck = options.recheck === undefined ? {} : { recheck: readRecheck(options.recheck) }
        const selection = { ...(await readSelection(cli, operands, options)), ...recheck }
        const { sync } = await import('../../app/commands.ts')
        const { syncExitCode } = await import('../../app/run-exit-code.ts')
        const { noteProblems } = await import('../problems.ts')
        const ctx = await cli.app()
        const report = await sync(ctx, selection)
        cli.finish()
        noteProblems(
          cli,
          report.series.flatMap((one) => one.problems),
        )
        const exitCode = syncExitCode(report, ctx.signal)
        return { data: report, text: syncText(report), exitCode, runId: report.runId, report: true }
      }),
    )
}

/** Without series on the command line the configuration decides, and with it its `kite` block. */
async function importsKite(
  cli: Cli,
  operands: readonly string[],
  options: SelectionOptions,
): Promise<boolean> {
  const named = operands.length > 0 || options.series !== undefined || options.seriesFile !== undefined
  return !named && (await cli.config()).config.kite !== undefined
}

/** `FROM/TO` as the times of a range, or `N%` as a share. */
function readRecheck(text: string): NonNullable<Selection['recheck']> {
  const share = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text)
  if (share && Number(share[1]) <= 100) return { kind: 'share', share: Number(share[1]) / 100 }
  const [from, to] = text.split('/').map((part) => readWhen(part))
  if (from?.kind === 'at' && to?.kind === 'at' && text.split('/').length === 2) {
    return { kind: 'range', range: timeRange(from.ms, to.ms) }
  }
  throw new EverybarError('cli.bad-recheck', `--recheck "${text}" is neither a range nor a share`, {
    recovery: 'abort',
    hint: 'Write two times with a slash, 2024-01/2024-02, or a share of all answered slices, 5%.',
    path: '--recheck',
  })
}
