import { describe, expect, test } from 'vitest'
import { calendarOfMarket } from '../../src/coverage/calendars.ts'
import type { SliceRecord, SliceStatus } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { parseSeries } from '../../src/model/series.ts'
import { type FreshnessInput, freshnessOf } from '../../src/pipeline/freshness.ts'
import { jobOf, type SeriesJob } from '../../src/pipeline/house.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'
import { kiteSources } from '../../src/source/kite/sources.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import { failed, sliceRecord } from '../../src/testing/ledger-samples.ts'
import { minutes } from '../support/bars.ts'

const MINUTE = 60_000
const SLICE = 1_000 * MINUTE
const sources = [
  ...binanceSources({}),
  ...kiteSources({ baseUrl: 'http://localhost', authorization: () => 'x', tokenOf: () => '1' }),
]
const jobFor = (selector: string, calendar = false) =>
  jobOf(
    { sources, ...(calendar && { calendarOf: ({ market }) => calendarOfMarket(market) }) },
    parseSeries(selector),
  )

const job = jobFor('binance:spot:BTCUSDT:1m')
const { settleMs } = job.source.spec
/** Start of the slice that the tests stand in; the n-th before it. */
const HERE = Math.floor(Date.UTC(2024, 2, 1) / SLICE) * SLICE
const at = (minutes: number) => HERE + minutes * MINUTE

interface Answer {
  /** Slices before the present one, 0. */
  readonly back: number
  readonly status?: SliceStatus
  /** The venue's clock when it answered, in minutes of the present slice; after the slice has closed unless given. */
  readonly asked?: number
  readonly missing?: { readonly from: number; readonly count: number }
  readonly stored?: boolean
}

/** A ledger with the answers given, and whether the one store has them. */
async function fresh(
  answers: readonly Answer[],
  input: FreshnessInput,
  own: SeriesJob = job,
  wantedMs = at(-2_000),
) {
  const ledger = memoryLedger()
  const store = openMemoryStore()
  await ledger.want(own.ref, { startMs: wantedMs, endMs: wantedMs + MINUTE })
  for (const answer of answers) {
    const record = recordOf(answer)
    await ledger.record(own.ref, [record])
    if (answer.stored === false || record.sha256 === null) continue
    await ledger.recordStored(own.ref, store.name, [
      { sliceId: record.sliceId, sha256: record.sha256, rows: 1 },
    ])
  }
  return freshnessOf({ ledger, sources, stores: [store] }, own, input)
}

function recordOf({ back, status = 'ok', asked, missing }: Answer): SliceRecord {
  const startMs = HERE - back * SLICE
  const range = { startMs, endMs: startMs + SLICE }
  return sliceRecord(0, {
    range,
    status,
    venueTimeMs: asked === undefined ? range.endMs + SLICE : at(asked) + settleMs,
    ...(status === 'failed' && { ...failed, venueTimeMs: null }),
    ...(missing && {
      findings: [{ kind: 'missing', openTimeMs: at(missing.from), count: missing.count, detail: 'no' }],
    }),
  })
}

const closed: readonly Answer[] = [{ back: 2 }, { back: 1 }]

describe('how fresh a series is', () => {
  test.each<
    [
      string,
      readonly Answer[],
      { now: number; until?: number },
      { due: number; lag: number; overdue: number },
    ]
  >([
    [
      'level: the open slice was answered when its last bar was due',
      [...closed, { back: 0, status: 'partial', asked: 10 }],
      { now: 10.5 },
      { due: 10, lag: 0, overdue: 0 },
    ],
    [
      'three bars behind, the first of them due for two minutes and a half',
      [...closed, { back: 0, status: 'partial', asked: 7 }],
      { now: 10.5 },
      { due: 10, lag: 3, overdue: 2.5 },
    ],
    [
      'the last bar has just closed',
      [...closed, { back: 0, status: 'partial', asked: 9 }],
      { now: 10.1 },
      { due: 10, lag: 1, overdue: 0.1 },
    ],
    ['the next slice was not asked for yet', closed, { now: 5 }, { due: 5, lag: 5, overdue: 4 }],
    [
      'a slice failed',
      [...closed, { back: 0, status: 'failed' }],
      { now: 5 },
      { due: 5, lag: 5, overdue: 4 },
    ],
    [
      'a hole further back is a gap, and no lag',
      [{ back: 2 }, { back: 0, status: 'partial', asked: 10 }],
      { now: 10 },
      { due: 10, lag: 0, overdue: 0 },
    ],
    [
      'what the venue does not have is settled',
      [...closed, { back: 0, status: 'partial', asked: 10, missing: { from: 4, count: 6 } }],
      { now: 10 },
      { due: 10, lag: 0, overdue: 0 },
    ],
    [
      'what a store lacks is not there',
      [{ back: 2 }, { back: 1, stored: false }, { back: 0, status: 'partial', asked: 10 }],
      { now: 10 },
      { due: 10, lag: 0, overdue: 0 },
    ],
    [
      'what a store lacks at the end is a lag',
      [{ back: 2 }, { back: 1, stored: false }, { back: 0, status: 'partial', asked: 10, stored: false }],
      { now: 10 },
      { due: 10, lag: 1_010, overdue: 1_009 },
    ],
    ['nothing was answered: all that is wanted', [], { now: 10 }, { due: 10, lag: 2_010, overdue: 2_009 }],
    ['an end that is wished for is reached', closed, { now: 500, until: 0 }, { due: 0, lag: 0, overdue: 0 }],
    [
      'an end that is wished for is not reached',
      [{ back: 2 }],
      { now: 500, until: 0 },
      { due: 0, lag: 1_000, overdue: 1_499 },
    ],
  ])('%s', async (_, answers, { now, until }, { due, lag, overdue }) => {
    const untilMs = until === undefined ? undefined : at(until)
    const found = await fresh(answers, { nowMs: at(now) + settleMs, untilMs })
    expect(found).toEqual({
      dueMs: at(due),
      coveredMs: at(due - lag),
      lagMs: lag * MINUTE,
      overdueMs: overdue * MINUTE,
    })
  })

  test('the venue’s settle time is respected: a bar is due when it has passed, and not before', async () => {
    const input = (afterMs: number) => ({ nowMs: at(3) + afterMs })
    expect(settleMs).toBeGreaterThan(0)
    expect(await fresh(closed, input(settleMs - 1))).toMatchObject({ dueMs: at(2) })
    expect(await fresh(closed, input(settleMs))).toMatchObject({ dueMs: at(3), overdueMs: 2 * MINUTE })
  })

  test('never asked for, or not one bar due yet: nothing to say', async () => {
    const ledger = memoryLedger()
    const house = { ledger, sources, stores: [] }
    expect(await freshnessOf(house, job, { nowMs: at(10) })).toBeUndefined()
    await ledger.want(job.ref, { startMs: at(9), endMs: at(90) })
    expect(await freshnessOf(house, job, { nowMs: at(9.5) })).toBeUndefined()
  })

  test('years without an answer are looked through to their beginning', async () => {
    const startMs = HERE - 3_000 * SLICE
    const found = await fresh([], { nowMs: at(10) + settleMs }, job, startMs)
    expect(found).toMatchObject({ coveredMs: startMs, lagMs: at(10) - startMs })
  })

  test('a slice that was just answered again is there up to the answer before', async () => {
    const ledger = memoryLedger()
    const store = openMemoryStore()
    await ledger.want(job.ref, { startMs: at(0), endMs: at(10) })
    await ledger.record(job.ref, [recordOf({ back: 0, status: 'partial', asked: 10 })])
    const input = { nowMs: at(10) + settleMs }
    const house = { ledger, sources, stores: [store] }
    expect(await freshnessOf(house, job, input)).toMatchObject({ coveredMs: at(0), lagMs: 10 * MINUTE })
    await store.commit(job.series, minutes(9, { fromMs: at(0) }))
    expect(await freshnessOf(house, job, input)).toMatchObject({ coveredMs: at(9), lagMs: MINUTE })
  })

  test('time in which the market is closed is no lag', async () => {
    const shares = jobFor('kite:nse:RELIANCE:1m', true)
    const ist = (text: string) => Date.parse(`${text}+05:30`)
    const ledger = memoryLedger()
    const house = { ledger, sources, stores: [] }
    const friday = ist('2024-03-15T15:00:00')
    const found = (now: string) =>
      freshnessOf(house, shares, { nowMs: ist(now) + shares.source.spec.settleMs })
    await ledger.want(shares.ref, { startMs: friday, endMs: friday + MINUTE })
    expect(await found('2024-03-16T12:00:00')).toMatchObject({
      dueMs: ist('2024-03-15T15:30:00'),
      coveredMs: friday,
      lagMs: 30 * MINUTE,
    })
    expect(await found('2024-03-18T09:20:00'), 'Monday, after five minutes').toEqual({
      dueMs: ist('2024-03-18T09:20:00'),
      coveredMs: friday,
      lagMs: 35 * MINUTE,
      overdueMs: ist('2024-03-18T09:20:00') - friday - MINUTE,
    })
  })
})
