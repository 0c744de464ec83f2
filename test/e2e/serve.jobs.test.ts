import { afterEach, describe, expect, test } from 'vitest'
import { verify } from '../../src/index.ts'
import type { RunRecord } from '../../src/ledger/ledger.ts'
import { type Running, type RunningOptions, running } from '../support/data-server.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'
const minutely = { schedule: '* * * * *', timezone: 'Asia/Kolkata' }

let one: Running | undefined
afterEach(async () => {
  await one?.close()
  one = undefined
})
const start = async (options: RunningOptions): Promise<Running> => (one = await running(options))

/** Whether something that was appended live was folded into its month. */
const folded = ({ events }: Running): boolean =>
  events.some(({ event, rows }) => event === 'lake_compacted' && Number(rows) > 0)

/** The runs in the ledger that have ended, by command. */
const ended = async ({ server }: Running, command: string): Promise<readonly RunRecord[]> =>
  (await server.runs()).filter((run) => run.command === command && run.endedAtMs !== null)

describe('what runs beside following live', () => {
  test('all of it at once: each run is in the ledger, and what is stored is proved to be right', async () => {
    const jobs = [
      { name: 'again', run: 'sync', ...minutely },
      { name: 'prove', run: 'verify', ...minutely },
      { name: 'fold', run: 'compact', ...minutely },
    ]
    const at = await start({
      series: [BTC, ETH],
      settings: { jobs, serve: { completeness_seconds: 60 }, logs: { service_name: 'test' } },
    })
    const commands = ['completeness', 'job:again', 'job:prove', 'job:fold']
    await at.until(
      async () => Promise.all(commands.map(async (command) => (await ended(at, command)).length)),
      (counts) => counts.every((count) => count >= 2) && folded(at),
    )
    const { jobs: told, completeness } = await at.json('/api/v1/status')
    expect(completeness).toMatchObject({ lastComplete: true })
    expect(told).toMatchObject([
      { name: 'again', run: 'sync', lastExitCode: 0, nextAtMs: expect.any(Number) },
      { name: 'prove', run: 'verify', lastExitCode: 0, nextAtMs: expect.any(Number) },
      { name: 'fold', run: 'compact', lastExitCode: 0, nextAtMs: expect.any(Number) },
    ])
    const metrics = await (await at.get('/metrics')).text()
    expect(metrics).toMatch(/^everybar_job_last_exit_code\{job="prove"\} 0$/m)
    expect(metrics).toMatch(/^everybar_last_verify_timestamp_seconds 17\d{8}/m)
    for (const command of commands)
      for (const run of await ended(at, command)) expect(run.exitCode, command).toBe(0)
    expect(at.events.filter(({ event }) => event === 'job_failed' || event === 'live_error')).toEqual([])

    const report = await at.server.close()
    expect(report.live!.state.series.map(({ lastError }) => lastError)).toEqual([undefined, undefined])
    const proof = await verify({ root: at.root, deep: true })
    expect([proof.faults, proof.complete]).toEqual([[], true])
  })

  test('what the venue withheld while it was away is there after the next pass', async () => {
    const at = await start({
      settings: { serve: { completeness_seconds: 60 } },
      follow: (_house, _selection, stop) => {
        const series = [{ series: BTC, doneMs: 1, dueMs: 1, lagMs: 0, behind: [], failures: 0 }]
        const state = () => ({ startedAtMs: 0, cycles: 0, lastCycleAtMs: null, series })
        const done = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()))
        return {
          state,
          done: done.then(() => ({ runId: 'r', cycles: 0, bars: 0, durationMs: 0, state: state() })),
        }
      },
    })
    at.venue.setFaults('503')
    const [failed] = await at.until(
      () => ended(at, 'completeness'),
      (runs) => runs.length > 0,
    )
    expect(failed!.exitCode, 'it may pass').toBe(5)
    at.venue.setFaults('')
    const runs = await at.until(
      () => ended(at, 'completeness'),
      ([latest]) => latest!.exitCode === 0,
    )
    expect(runs.at(-1)).toEqual(failed)
    const { bars } = await at.json(`/api/v1/bars?series=${BTC}&from=2024-03-01T10:00Z&to=2024-03-01T12:00Z`)
    expect(bars).toHaveLength(120)
  })

  test('Kite’s daily run: at six in the evening in India, today’s list first, then every instrument', async () => {
    const at = await start({
      series: [],
      nowMs: Date.parse('2024-03-05T17:59:20+05:30'),
      kite: {
        instruments: 3,
        requestsPerSecond: Number.POSITIVE_INFINITY,
        loginEndsAtMs: Number.POSITIVE_INFINITY,
      },
      settings: {
        kite: { bootstrap_from_date: '2024-02-01' },
        jobs: [{ name: 'daily', schedule: '0 18 * * 1-5', timezone: 'Asia/Kolkata', run: 'kite' }],
      },
    })
    expect((await at.server.ready()).ready, 'a job that fetches watches').toBe(true)
    const [run] = await at.until(
      () => ended(at, 'job:daily'),
      (runs) => runs.length > 0,
    )
    expect(run!.exitCode).toBe(0)
    expect(run!.startedAtMs).toBeGreaterThanOrEqual(Date.parse('2024-03-05T18:00:00+05:30'))
    expect(at.events.find(({ event }) => event === 'instruments_synced')).toMatchObject({ added: 3 })
    const { series, total } = await at.json('/api/v1/status')
    expect(total).toBe(3)
    for (const one of series)
      expect(one).toMatchObject({ series: expect.stringMatching(/^kite:nse:/), complete: true })
    const [named] = series
    const { bars } = await at.json(
      `/api/v1/bars?series=${encodeURIComponent(named.series)}&from=2024-02-25T18:30Z&to=2024-03-01T18:30Z`,
    )
    expect(bars).toHaveLength(5)
  })

  test('a login that has ended is said, and the job ends as the command does', async () => {
    const at = await start({
      series: [],
      nowMs: Date.parse('2024-03-05T17:59:20+05:30'),
      kite: { instruments: 3, loginEndsAtMs: Date.parse('2024-03-05T06:00:00+05:30') },
      settings: {
        kite: {},
        jobs: [{ name: 'daily', schedule: '0 18 * * *', timezone: 'Asia/Kolkata', run: 'kite' }],
      },
    })
    const problem = await at.until(
      () => at.events.find(({ event }) => event === 'job_problem' || event === 'job_failed'),
      (event) => event !== undefined,
    )
    expect(problem).toMatchObject({ job: 'daily', code: 'source.login-expired' })
    const jobs = await at.until(
      async () => (await at.json('/api/v1/status')).jobs,
      ([job]) => job.lastEndedAtMs !== null,
    )
    expect(jobs).toMatchObject([{ lastExitCode: 12, running: false }])
    for (const run of await ended(at, 'job:daily')) expect(run.exitCode).toBe(12)
  })
})
