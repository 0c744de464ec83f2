import { describe, expect, test } from 'vitest'
import { type Job, startJobs } from '../../src/app/jobs.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { type VirtualClock, virtualClock } from '../virtual-clock.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** A Thursday, 12:00 in India. */
const START = Date.parse('2024-03-14T12:00:00+05:30')
const daily: Job = { name: 'daily', schedule: '0 18 * * 1-5', timezone: 'Asia/Kolkata', run: 'kite' }
const hourly: Job = { name: 'hourly', schedule: '0 * * * *', timezone: 'UTC', run: 'sync' }

interface Setting {
  readonly jobs: readonly Job[]
  readonly clock: VirtualClock
  readonly lastRunMs?: number
  /** How long each run takes, one after another; the last for all that follow. */
  readonly takesMs?: readonly number[]
  readonly fails?: boolean
}

function running({ jobs, clock, lastRunMs, takesMs = [0], fails = false }: Setting) {
  const events: EverybarEvent[] = []
  const began: string[] = []
  let atOnce = 0
  let most = 0
  const stop = new AbortController()
  const run = startJobs({
    jobs,
    clock,
    onEvent: (event) => events.push(event),
    lastRunMs: async () => lastRunMs,
    stop: stop.signal,
    work: async ({ name }, signal) => {
      most = Math.max(most, ++atOnce)
      began.push(`${name} ${new Date(clock.nowMs()).toISOString()}`)
      await clock.sleep(takesMs[began.length - 1] ?? takesMs.at(-1)!, signal).catch(() => {})
      atOnce--
      if (fails) throw new Error('the venue is away')
      return signal.aborted ? 130 : 0
    },
  })
  const named = (name: string) => events.filter(({ event }) => event === name)
  return { run, stop, began, named, most: () => most }
}

describe('jobs by the clock', () => {
  test('on weekdays at six in the evening, there', async () => {
    const clock = virtualClock(START)
    const { run, began, named } = running({ jobs: [daily], clock })
    await clock.runUntil(6 * 24 * HOUR)
    expect(began).toEqual([
      'daily 2024-03-14T12:30:00.000Z',
      'daily 2024-03-15T12:30:00.000Z',
      'daily 2024-03-18T12:30:00.000Z',
      'daily 2024-03-19T12:30:00.000Z',
    ])
    expect(named('job_finished')).toHaveLength(4)
    expect(named('job_missed')).toEqual([])
    expect(run.states()).toMatchObject([
      {
        name: 'daily',
        running: false,
        nextAtMs: Date.parse('2024-03-20T12:30:00Z'),
        lastStartedAtMs: Date.parse('2024-03-19T12:30:00Z'),
        lastExitCode: 0,
        missed: 0,
      },
    ])
  })

  test('never two runs of one job at once; the time that is missed is said', async () => {
    const clock = virtualClock(START)
    const { run, began, named, most } = running({ jobs: [hourly], clock, takesMs: [150 * MINUTE, MINUTE] })
    await clock.runUntil(5 * HOUR)
    expect(most()).toBe(1)
    expect(began.map((one) => one.slice(18, 23))).toEqual(['07:00', '10:00', '11:00'])
    expect(
      named('job_missed').map(({ job, why, missed, first_ms }) => ({ job, why, missed, first_ms })),
    ).toEqual([
      { job: 'hourly', why: 'running', missed: 1, first_ms: Date.parse('2024-03-14T08:00Z') },
      { job: 'hourly', why: 'running', missed: 1, first_ms: Date.parse('2024-03-14T09:00Z') },
    ])
    expect(run.states()[0]!.missed).toBe(2)
  })

  test('different jobs do not wait for each other', async () => {
    const clock = virtualClock(START)
    const other = { ...hourly, name: 'other' }
    const { began, most } = running({ jobs: [hourly, other], clock, takesMs: [30 * MINUTE] })
    await clock.runUntil(HOUR)
    expect(began.map((one) => one.split(' ')[0])).toEqual(['hourly', 'other'])
    expect(most()).toBe(2)
  })

  test('what came round while the process was down is said, and not made up for', async () => {
    const clock = virtualClock(START)
    const lastRunMs = Date.parse('2024-03-11T12:30:00.500Z')
    const { began, named } = running({ jobs: [daily], clock, lastRunMs })
    await clock.runUntil(HOUR)
    expect(began).toEqual([])
    expect(named('job_missed')).toEqual([
      {
        event: 'job_missed',
        level: 'warn',
        job: 'daily',
        why: 'stopped',
        missed: 2,
        first_ms: Date.parse('2024-03-12T12:30:00Z'),
        last_ms: Date.parse('2024-03-13T12:30:00Z'),
      },
    ])
  })

  test('a machine that slept makes up for the last time, once', async () => {
    const clock = virtualClock(START)
    let aheadMs = 0
    const slept: VirtualClock = { ...clock, nowMs: () => clock.nowMs() + aheadMs }
    const { began, named } = running({ jobs: [hourly], clock: slept })
    await clock.runUntil(10 * MINUTE)
    aheadMs = 3 * HOUR
    await clock.runUntil(15 * MINUTE)
    expect(began).toHaveLength(1)
    expect(named('job_started')[0]).toMatchObject({ scheduled_ms: Date.parse('2024-03-14T07:00Z') })
    expect(Number(named('job_started')[0]!.late_ms)).toBeGreaterThan(2 * HOUR)
    expect(named('job_missed')).toMatchObject([
      { why: 'asleep', missed: 2, last_ms: Date.parse('2024-03-14T09:00Z') },
    ])
  })

  test('a run that fails is said, and comes round again', async () => {
    const clock = virtualClock(START)
    const { run, began, named } = running({ jobs: [hourly], clock, fails: true })
    await clock.runUntil(2 * HOUR)
    expect(began).toHaveLength(2)
    expect(named('job_failed')).toHaveLength(2)
    expect(named('job_failed')[0]).toMatchObject({ code: 'app.unexpected', message: 'the venue is away' })
    expect(run.states()).toMatchObject([{ lastExitCode: 1, running: false }])
  })

  test('stopped: the run under way is told and waited for, and none begins', async () => {
    const clock = virtualClock(START)
    const { run, began, stop } = running({ jobs: [hourly], clock, takesMs: [10 * HOUR] })
    await clock.runUntil(45 * MINUTE)
    expect(run.states()[0]!.running).toBe(true)
    stop.abort(new Error('stopped'))
    await clock.run(run.done)
    expect(began).toHaveLength(1)
    expect(run.states()).toMatchObject([{ running: false, lastExitCode: 130, nextAtMs: null }])
  })
})
