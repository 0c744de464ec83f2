import type { RunRecord } from '../ledger/ledger.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import { exitCodeOfError } from '../model/exit-code.ts'
import { parseSeries } from '../model/series.ts'
import type { EpochMs } from '../model/time.ts'
import { compactLake } from '../pipeline/compact.ts'
import type { Selection, SyncReport } from './api.ts'
import type { OpenHouse } from './house.ts'
import type { Job } from './jobs.ts'
import { importKiteInto } from './kite-import.ts'
import { syncInstrumentsInto } from './kite-instruments.ts'
import { syncExitCode } from './run-exit-code.ts'
import { newRunId, syncAll } from './sync.ts'
import { verifyAll } from './verify.ts'

const PREFIX = 'job:'

/** What a job's runs are called among the others. */
const commandOf = ({ name }: Job): string => `${PREFIX}${name}`

/** Runs looked through for the last one of a job. */
const RUNS_LOOKED_AT = 1_000

/** When the job last began, whichever process ran it. */
export async function lastRunMs({ ledger }: OpenHouse, job: Job): Promise<EpochMs | undefined> {
  const runs = await ledger.runs(RUNS_LOOKED_AT)
  return runs.find(({ command }) => command === commandOf(job))?.startedAtMs
}

/**
 * Does what a job is for, in a house that others use too. Each run is one in the ledger, with a report.
 *
 * @returns the exit code the command of the same name would have.
 * @throws EverybarError as those commands.
 */
export async function workOf(
  house: OpenHouse,
  selection: Selection,
  job: Job,
  stop: AbortSignal,
): Promise<number> {
  const command = commandOf(job)
  // A signal of its own: what listens to it goes with the run.
  const own = AbortSignal.any([stop])
  switch (job.run) {
    case 'sync':
      return ended(house, command, await syncAll(house, needed(selection), own, { command }), own)
    case 'kite':
      return kiteOnce(house, own, command)
    case 'verify':
      return verifyOnce(house, own, command)
    case 'compact':
      return compactOnce(house, own, command)
    default:
      return job.run satisfies never
  }
}

/** Today's list of instruments, then the import. A list that cannot be had leaves the one before in force. */
async function kiteOnce(house: OpenHouse, stop: AbortSignal, command: string): Promise<number> {
  if (!house.config.kite?.enabled) {
    house.onEvent({ event: 'kite_disabled' })
    return 0
  }
  const refused = await takeListIn(house, stop)
  try {
    return ended(house, command, await importKiteInto(house, stop, { command }), stop)
  } catch (error) {
    throw isEverybarError(error, 'series.no-instruments') && refused ? refused : error
  }
}

/** What kept today's list away, said in the log. */
async function takeListIn(house: OpenHouse, stop: AbortSignal): Promise<EverybarError | undefined> {
  try {
    const { added, expired, badLines } = await syncInstrumentsInto(house, {}, stop)
    house.onEvent({ event: 'instruments_synced', added, expired, bad_lines: badLines })
    return undefined
  } catch (error) {
    if (!isEverybarError(error)) throw error
    const { code, message } = error
    house.onEvent({ event: 'instruments_error', level: 'warn', code, message })
    return error
  }
}

/** The exit code of a run; what kept it from being complete is said, each kind once. */
function ended({ onEvent }: OpenHouse, command: string, report: SyncReport, stop: AbortSignal): number {
  const problems = new Map<string, { readonly message: string; count: number }>()
  for (const { code, message } of report.series.flatMap((one) => one.problems)) {
    const known = problems.get(code)
    if (known) known.count++
    else problems.set(code, { message, count: 1 })
  }
  for (const [code, { message, count }] of problems)
    onEvent({
      event: 'job_problem',
      level: 'warn',
      job: command.slice(PREFIX.length),
      code,
      message,
      series_count: count,
    })
  return syncExitCode(report, stop)
}

function needed(selection: Selection): Selection {
  if (selection.series.length > 0) return selection
  throw new EverybarError('series.none-named', 'the job has no series: the configuration names none', {
    recovery: 'abort',
    hint: 'List some under `series:` in everybar.yaml.',
  })
}

async function verifyOnce(house: OpenHouse, stop: AbortSignal, command: string): Promise<number> {
  return asRun(house, command, async (runId) => {
    // Named, so that what others are just writing is taken for no stray.
    const series = (await house.ledger.series()).map(({ seriesId }) => parseSeries(seriesId))
    const report = await verifyAll(house, { series }, {}, stop)
    const { faultCount, complete } = report
    const told = { faults: faultCount, complete, at_ms: house.clock.nowMs() }
    house.onEvent({ event: 'verify_done', run_id: runId, ...told })
    return { exitCode: faultCount > 0 ? 4 : complete ? 0 : 3, report: { ...report } }
  })
}

async function compactOnce(house: OpenHouse, stop: AbortSignal, command: string): Promise<number> {
  return asRun(house, command, async () => {
    return { exitCode: 0, report: { ...(await compactLake(house, house.lake, stop)) } }
  })
}

/** Does work as a run of the ledger. One that throws stands there as failed. */
async function asRun(
  { ledger, clock }: OpenHouse,
  command: string,
  work: (runId: string) => Promise<Pick<RunRecord, 'report'> & { readonly exitCode: number }>,
): Promise<number> {
  const startedAtMs = clock.nowMs()
  const run = { runId: newRunId(startedAtMs), command, startedAtMs }
  await ledger.putRun({ ...run, endedAtMs: null, exitCode: null, report: {} })
  try {
    const { exitCode, report } = await work(run.runId)
    await ledger.putRun({ ...run, endedAtMs: clock.nowMs(), exitCode, report })
    return exitCode
  } catch (error) {
    const report = { error: messageOf(error) }
    await ledger.putRun({ ...run, endedAtMs: clock.nowMs(), exitCode: exitCodeOfError(error), report })
    throw error
  }
}
