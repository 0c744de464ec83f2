import type { Command } from 'commander'
import type { Selection, SyncReport } from '../../app/api.ts'
import { EverybarError } from '../../model/errors.ts'
import { timeRange } from '../../model/time.ts'
import { readWhen } from '../../model/when.ts'
import type { Cli } from '../cli.ts'
import { exitCodeOfProblems, exitCodes } from '../exit-code.ts'
import { counted, countsText, duration, number, time } from '../format.ts'
import { type HistoryOptions, historyOptions, readHistoryOptions } from '../history-flags.ts'
import type { Runner } from '../program.ts'
import { readSelection, readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  historyOptions(selectionOptions(command))
    .option('--recheck <range|share>', 'ask about answered slices again: 2024-01/2024-02, or 5%')
    .action(
      run(async (cli, operands: readonly string[], given: HistoryOptions & { readonly recheck?: string }) => {
        const options = readHistoryOptions(cli, given)
        if (await importsKite(cli, operands, options)) {
          const { syncWithKite } = await import('../kite-sync.ts')
          return syncWithKite(cli, await readSelectionIfAny(cli, [], options), options, syncText)
        }
        const recheck = options.recheck === undefined ? {} : { recheck: readRecheck(options.recheck) }
        const selection = { ...(await readSelection(cli, operands, options)), ...recheck }
        const { sync } = await import('../../app/commands.ts')
        const { noteProblems } = await import('../problems.ts')
        const report = await sync(await cli.app(), selection)
        cli.finish()
        const problems = report.series.flatMap((one) => one.problems)
        noteProblems(cli, problems)
        const exitCode = report.complete ? exitCodes.complete : exitCodeOfProblems(problems)
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

function syncText(report: SyncReport): string {
  const columns = [
    'series',
    'from',
    'to',
    right('fetched'),
    right('new bars'),
    right('revised'),
    'missing',
    'complete',
  ]
  const rows = report.series.map((one) => [
    one.series,
    time(one.range?.startMs ?? null),
    time(one.range?.endMs ?? null),
    number(one.slices.fetched),
    number(one.bars.inserted),
    number(one.bars.revised),
    countsText(one.missing),
    one.complete ? 'yes' : 'no',
  ])
  const { requests, retries, durationMs, runId } = report
  const work = `${counted(requests, 'request')} (${number(retries)} ${retries === 1 ? 'retry' : 'retries'}) in ${duration(durationMs)}, run ${runId}`
  const found = report.series.flatMap(
    ({ series, findings: { missing: _, 'not-closed': __, ...findings } }) => {
      const counts = countsText(findings) // what is missing has its column, and the forming bar is always there
      return counts === '-' ? [] : [`found in ${series}: ${counts}`]
    },
  )
  const replayed = report.series.reduce((sum, { slices }) => sum + slices.replayed, 0)
  if (replayed > 0)
    found.push(`${counted(replayed, 'archived answer')} replayed into stores that lacked them`)
  return [table(columns, rows), '', ...found, `${verdict(report)}; ${work}`].join('\n')
}

function verdict({ series, complete, interrupted }: SyncReport): string {
  if (complete) return 'complete'
  const open = `${series.filter((one) => !one.complete).length} of ${series.length} series not complete`
  if (interrupted) return `interrupted, ${open}: run the same again to go on`
  const failed = series.some(({ problems }) => problems.length > 0)
  return `${open}: ${failed ? 'see the errors above' : 'see everybar gaps'}`
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
