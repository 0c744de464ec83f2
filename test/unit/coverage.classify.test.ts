import { describe, expect, test } from 'vitest'
import { type CoverageFacts, classifyGaps, type SliceNote } from '../../src/coverage/classify.ts'
import { finalEnd, missingRuns } from '../../src/coverage/expected.ts'
import { toRangeSet } from '../../src/model/range-set.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'

const at = (minute: number) => 1_704_067_200_000 + minute * 60_000
const span = (from: number, to: number) => ({ startMs: at(from), endMs: at(to) })
const spans = (text: string) =>
  toRangeSet(
    text
      .split(' ')
      .filter(Boolean)
      .map((pair) => {
        const [from, to] = pair.split('-').map(Number)
        return span(from!, to!)
      }),
  )
const grid = { timeframe: parseTimeframe('1m') }
const note = (from: number, to: number, part: Partial<SliceNote>): SliceNote => ({
  range: span(from, to),
  status: 'ok',
  findings: [],
  error: null,
  venueTimeMs: at(1_000),
  completedAtMs: at(1_000),
  ...part,
})
const absent = (minute: number, count: number) => ({
  kind: 'missing' as const,
  openTimeMs: at(minute),
  count,
  detail: '',
})
const unusable = (minute: number, count: number) => ({
  ...absent(minute, count),
  kind: 'unreadable' as const,
})

/** Minutes 0 to 100 of a series; what is expected as `class from-to`, one a run. */
function check(name: string, facts: Partial<CoverageFacts>, expected: string[]) {
  test(name, () => {
    const base = {
      grid,
      range: span(0, 100),
      answered: [],
      notes: [],
      settleMs: 0,
      quietBars: 'emitted' as const,
    }
    const minute = (ms: number) => (ms - at(0)) / 60_000
    const runs = classifyGaps({ ...base, ...facts })
    expect(runs.map((r) => `${r.class} ${minute(r.range.startMs)}-${minute(r.range.endMs)}`)).toEqual(
      expected,
    )
    for (const run of runs) expect(run.bars).toBe(minute(run.range.endMs) - minute(run.range.startMs))
  })
}

describe('gap classes', () => {
  check('nothing asked', {}, ['never_fetched 0-100'])
  check('all answered', { answered: spans('0-100') }, [])
  check('a hole between slices', { answered: spans('0-30 60-100') }, ['never_fetched 30-60'])
  check('before the first bar', { first: { openTimeMs: at(40), evidence: 'e' }, answered: spans('40-100') }, [
    'before_listing 0-40',
  ])
  const ended = (toldAtMs: number) => ({ openTimeMs: at(49), toldAtMs, evidence: 'e' })
  check('after the last bar', { last: ended(at(100)), answered: spans('0-100') }, ['after_delisting 50-100'])
  check(
    'after the last bar, and after the venue was last asked: nobody knows',
    { last: ended(at(70)), answered: spans('0-50') },
    ['after_delisting 50-70', 'never_fetched 70-100'],
  )
  check(
    'after the last bar, in an answer that could not be read: it may have some all the same',
    {
      last: ended(at(100)),
      answered: spans('0-60 80-100'),
      notes: [note(60, 80, { status: 'quarantined', error: 'x' })],
    },
    ['after_delisting 50-60', 'quarantined 60-80', 'after_delisting 80-100'],
  )
  check(
    'listing wins over never fetched, and over what a slice says',
    { first: { openTimeMs: at(20), evidence: 'e' }, notes: [note(0, 50, { findings: [absent(0, 30)] })] },
    ['before_listing 0-20', 'source_absent 20-30', 'never_fetched 50-100'],
  )
  check(
    'a venue that leaves quiet bars out',
    { quietBars: 'omitted', answered: spans('0-100'), notes: [note(0, 50, { findings: [absent(3, 2)] })] },
    ['no_trade 3-5'],
  )
  check(
    'failed and pending',
    { notes: [note(0, 50, { status: 'failed' }), note(50, 100, { status: 'pending' })] },
    ['fetch_failed 0-50', 'never_fetched 50-100'],
  )
  check(
    'quarantined rows, and absent ones beside them',
    { notes: [note(0, 100, { status: 'quarantined', findings: [unusable(5, 1), absent(7, 2)] })] },
    ['quarantined 5-6', 'source_absent 7-9'],
  )
  check(
    'an answer of which nothing could be read',
    { notes: [note(0, 100, { status: 'quarantined', findings: [] })] },
    ['quarantined 0-100'],
  )
  check(
    'a partial slice',
    { notes: [note(0, 100, { status: 'partial', venueTimeMs: at(70), findings: [absent(10, 1)] })] },
    ['source_absent 10-11', 'not_yet_final 70-100'],
  )
  check('bars that are not due yet', { answered: spans('0-50'), dueEndMs: at(60) }, [
    'never_fetched 50-60',
    'not_yet_final 60-100',
  ])
  check(
    'runs of one class that touch are one',
    { notes: [note(0, 50, { status: 'failed' }), note(50, 100, { status: 'failed' })] },
    ['fetch_failed 0-100'],
  )
})

describe('missing runs', () => {
  const missing = (times: number[]) =>
    missingRuns(
      grid,
      span(0, 10),
      times.map((t) => at(t)),
    ).map((r) => `${(r.startMs - at(0)) / 60_000}-${(r.endMs - at(0)) / 60_000}`)
  test.each([
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []],
    [[], ['0-10']],
    [[0, 9], ['1-9']],
    [
      [3, 4],
      ['0-3', '5-10'],
    ],
    [[-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], []],
    [[0, 1, 2.25, 3.25, 4, 5, 6, 7, 8, 9], []], // off the grid, each in its slot
    [[0, 0.5, 2, 3, 4, 5, 6, 7, 8, 9], ['1-2']],
  ])('bars at minutes %j leave %j', (times, expected) => expect(missing(times)).toEqual(expected))

  test('calendar months are counted as months', () => {
    const month = { timeframe: parseTimeframe('1M') }
    const year = { startMs: Date.UTC(2024, 0, 1), endMs: Date.UTC(2025, 0, 1) }
    expect(missingRuns(month, year, [Date.UTC(2024, 0, 1), Date.UTC(2024, 3, 1)])).toEqual([
      { startMs: Date.UTC(2024, 1, 1), endMs: Date.UTC(2024, 3, 1) },
      { startMs: Date.UTC(2024, 4, 1), endMs: Date.UTC(2025, 0, 1) },
    ])
  })
})

describe('final end', () => {
  test.each([
    ['1m', undefined, 10.5, 0, 10],
    ['1m', undefined, 10.05, 5_000, 9],
    ['1m', undefined, 10, 0, 10],
  ])(
    'of %s (anchor %s) at minute %d with %d ms to settle is minute %d',
    (tf, anchorMs, now, settleMs, expected) => {
      const g = { timeframe: parseTimeframe(tf), ...(anchorMs !== undefined && { anchorMs }) }
      expect((finalEnd(g, at(now), settleMs) - at(0)) / 60_000).toBe(expected)
    },
  )

  test('where the grid is not known it is one bar early, never late', () => {
    const day = 86_400_000
    expect(finalEnd({ timeframe: parseTimeframe('3d') }, 10 * day, 0)).toBe(7 * day)
    expect(finalEnd({ timeframe: parseTimeframe('3d'), anchorMs: day }, 10 * day, 0)).toBe(10 * day)
  })
})
