import type { KiteSummary, Selection, SyncReport } from '../app/api.ts'
import type { KitePlan } from '../app/kite-import.ts'
import { syncExitCode } from '../app/run-exit-code.ts'
import { EverybarError } from '../model/errors.ts'
import type { Cli } from './cli.ts'
import { counted, duration, number } from './format.ts'
import type { Outcome } from './output.ts'
import { noteProblems } from './problems.ts'
import type { SelectionOptions } from './selection.ts'

/** A list older than this has missed new instruments. */
const LIST_AGE_WARN_MS = 7 * 86_400_000
/** So many series are told one by one; of more the sums. */
const ROWS_MAX = 50

/** `sync` where the configuration has a `kite` block: the import, and the other configured series in the same run. */
export async function syncWithKite(
  cli: Cli,
  also: Partial<Selection>,
  flags: SelectionOptions & { readonly recheck?: string },
  syncText: (report: SyncReport) => string,
): Promise<Outcome> {
  const ctx = await cli.app()
  const series = also.series ?? []
  if (!ctx.config.kite?.enabled) {
    const nothing = disabled(cli)
    if (series.length === 0) return nothing
    const { sync } = await import('../app/commands.ts')
    const report = await sync(ctx, { ...also, series })
    return outcomeOf(cli, report, syncText(report), ctx.signal)
  }
  if (series.length === 0) refuseRange(flags)
  const { importKite } = await import('../app/kite-import.ts')
  const report = await importKite(ctx, {
    ...(series.length > 0 && { also: { ...also, series } }),
    announce: (plan) => announce(cli, plan),
  })
  cli.finish()
  const own = { ...report, series: report.series.filter(({ series: id }) => !id.startsWith('kite:')) }
  const rows = report.series.length <= ROWS_MAX ? report : own
  const text = [...(rows.series.length > 0 ? [syncText(rows)] : []), kiteText(report, report.kite!)]
  return outcomeOf(cli, report, text.join('\n\n'), ctx.signal)
}

function disabled(cli: Cli): Outcome {
  cli.note('kite: disabled by the configuration (kite.enabled: false)')
  return { data: { kite: 'disabled' }, text: 'nothing to do', report: true }
}

/** A range on the command line would be passed over in silence: the import has its own. */
function refuseRange(flags: SelectionOptions & { readonly recheck?: string }): void {
  const flag = (['from', 'to', 'recheck'] as const).find((name) => flags[name] !== undefined)
  if (flag === undefined) return
  throw new EverybarError('cli.usage', `--${flag} is not for the Kite import`, {
    recovery: 'abort',
    hint: 'It begins on kite.bootstrap_from_date and ends with the last final bar. Name series for another range: everybar sync kite:nse:RELIANCE:1d --from 2024-01-01.',
    path: `--${flag}`,
  })
}

/** `plan` where the configuration has a `kite` block: what the import would ask for. */
export async function planWithKite(cli: Cli, flags: SelectionOptions): Promise<Outcome> {
  if (!(await cli.app()).config.kite?.enabled) return disabled(cli)
  refuseRange(flags)
  const { planKite } = await import('../app/kite-import.ts')
  const plan = await planKite(await cli.app())
  return { data: { kite: plan }, text: planText(plan) }
}

function announce(cli: Cli, plan: KitePlan): void {
  if (cli.verbosity.json || cli.verbosity.quiet) return
  if (plan.listAgeMs > LIST_AGE_WARN_MS)
    cli.note(
      `kite: the list of instruments is ${duration(plan.listAgeMs)} old; run everybar instruments sync kite`,
    )
  cli.note(planText(plan))
}

function planText({ instruments, complete, requests, requestsPerSecond, etaMs }: KitePlan): string {
  const work =
    requests === 0
      ? 'nothing to fetch'
      : `${counted(requests, 'request')}, at least ${duration(etaMs)} at ${requestsPerSecond} a second, whatever the workers`
  return `kite: ${counted(instruments, 'instrument')}, ${number(complete)} complete; ${work}`
}

function kiteText({ durationMs, requests, runId, interrupted }: SyncReport, kite: KiteSummary): string {
  const lines = [
    `kite: ${counted(kite.instruments, 'instrument')}: ${number(kite.upToDate)} up to date, ${number(kite.fetched)} fetched, ${number(kite.failed)} failed, ${number(kite.skipped.length)} skipped`,
    `${number(kite.inserted)} bars inserted, ${number(kite.updated)} updated; ${counted(requests, 'request')} in ${duration(durationMs)}, run ${runId}`,
    ...(interrupted ? ['interrupted: run the same again to go on'] : []),
    ...kite.skipped
      .slice(0, ROWS_MAX)
      .map(({ series, code, message }) => `skipped ${series}: ${code}: ${message}`),
  ]
  return lines.join('\n')
}

function outcomeOf(cli: Cli, report: SyncReport, text: string, signal: AbortSignal): Outcome {
  const left = new Set((report.kite?.skipped ?? []).map(({ series }) => series))
  const problems = report.series.filter(({ series }) => !left.has(series)).flatMap((one) => one.problems)
  noteProblems(cli, problems)
  const exitCode = syncExitCode(report, signal)
  return { data: report, text, exitCode, runId: report.runId, report: true }
}
