import { describe, expect, test } from 'vitest'
import { type Bar, barsOf, batchFromBars } from '../../src/model/bar.ts'
import type { Finding, FindingKind } from '../../src/model/finding.ts'
import { series } from '../../src/model/series.ts'
import { type Judgement, validate } from '../../src/validate/validate.ts'

const t0 = Date.UTC(2024, 0, 1)
const MINUTE = 60_000
const at = (minute: number) => t0 + minute * MINUTE
const bar = (minute: number, change: Partial<Bar> = {}): Bar => ({
  openTimeMs: at(minute),
  open: 10,
  high: 12,
  low: 9,
  close: 11,
  volume: 5,
  native: { closeTimeMs: at(minute + 1) - 1, trades: 3 },
  ...change,
})

interface Expected {
  /** Minutes accepted; a fraction is an off-grid bar. */
  readonly accepted: readonly number[]
  readonly findings?: readonly (readonly [FindingKind, number])[]
  readonly quarantined?: readonly (readonly [number, number])[]
  readonly held?: number
  readonly untrusted?: boolean
}

function judge(rows: readonly Bar[], badRows: readonly Finding[], how: Partial<Judgement> & { of?: string }) {
  const { of = '1m', ...more } = how
  return validate(
    { rows: batchFromBars(rows), badRows },
    {
      series: series({ venue: 'v', market: 'm', symbol: 'S' }, of),
      range: { startMs: at(0), endMs: at(10) },
      asOfMs: at(1000),
      settleMs: 0,
      ...more,
    },
  )
}

function check(
  name: string,
  rows: readonly Bar[],
  expected: Expected,
  how: Partial<Judgement> & { of?: string; badRows?: readonly Finding[] } = {},
) {
  test(name, () => {
    const { badRows = [], ...judgement } = how
    const result = judge(rows, badRows, judgement)
    expect(barsOf(result.accepted).map((b) => (b.openTimeMs - t0) / MINUTE)).toEqual(expected.accepted)
    expect(result.findings.map((f) => [f.kind, f.count ?? 1])).toEqual(expected.findings ?? [])
    expect(result.quarantined).toEqual(
      (expected.quarantined ?? []).map(([from, to]) => ({ startMs: at(from), endMs: at(to) })),
    )
    expect(result.held).toBe(expected.held ?? 0)
    expect(result.untrusted).toBe(expected.untrusted ?? false)
  })
}

const nan = Number.NaN

describe('validate', () => {
  check('a clean page', [bar(0), bar(1), bar(2)], { accepted: [0, 1, 2] })
  check('no rows', [], { accepted: [] })
  check('a hole is not judged here', [bar(0), bar(9)], { accepted: [0, 9] })
  check('flat zero-volume bar', [bar(0, { open: 1, high: 1, low: 1, close: 1, volume: 0 })], {
    accepted: [0],
  })
  check('the same row twice', [bar(0), bar(0), bar(1)], { accepted: [0, 1], findings: [['duplicate', 1]] })
  check('out of order', [bar(2), bar(0), bar(1)], { accepted: [0, 1, 2], findings: [['out-of-order', 1]] })
  check(
    'newest first, as promised',
    [bar(2), bar(1), bar(0)],
    { accepted: [0, 1, 2] },
    { order: 'descending' },
  )
  check(
    'oldest first where newest first was promised',
    [bar(0), bar(1)],
    { accepted: [0, 1], findings: [['out-of-order', 1]] },
    { order: 'descending' },
  )
  check('outside the range', [bar(-1), bar(0), bar(10)], {
    accepted: [0],
    findings: [
      ['out-of-range', 1],
      ['out-of-range', 1],
    ],
  })
  check('off the grid', [bar(0), bar(1.25, { native: {} })], {
    accepted: [0, 1.25],
    findings: [['off-grid', 1]],
  })
  check('closed early', [bar(0, { native: { closeTimeMs: at(0) + 5 } })], {
    accepted: [0],
    findings: [['short-bar', 1]],
  })
  check('close time unknown', [bar(0, { native: { closeTimeMs: nan } })], { accepted: [0] })
  const bad: readonly (readonly [string, Partial<Bar>, FindingKind])[] = [
    ['high below low', { high: 1 }, 'bad-ohlc'],
    ['open above high', { open: 13 }, 'bad-ohlc'],
    ['open below low', { open: 8 }, 'bad-ohlc'],
    ['close above high', { close: 12.1 }, 'bad-ohlc'],
    ['close below low', { close: 8.9 }, 'bad-ohlc'],
    ['open NaN', { open: nan }, 'bad-number'],
    ['high infinite', { high: Number.POSITIVE_INFINITY }, 'bad-number'],
    ['volume NaN', { volume: nan }, 'bad-number'],
    ['negative low', { low: -1 }, 'negative'],
    ['negative volume', { volume: -1 }, 'negative'],
    ['negative trades', { native: { trades: -1 } }, 'negative'],
    ['half a trade', { native: { trades: 0.5 } }, 'bad-number'],
    ['infinite quote volume', { native: { quoteVolume: Number.POSITIVE_INFINITY } }, 'bad-number'],
  ]
  for (const [name, change, kind] of bad) {
    check(`${name} is rejected and its slot quarantined`, [bar(0), bar(1, change), bar(2)], {
      accepted: [0, 2],
      findings: [[kind, 1]],
      quarantined: [[1, 2]],
    })
  }
  check('a good row settles the slot a bad one claimed', [bar(1, { high: 1 }), bar(1)], {
    accepted: [1],
    findings: [['bad-ohlc', 1]],
  })
  check(
    'a bar is final only when closed and settled',
    [bar(0), bar(1), bar(2)],
    { accepted: [0, 1], findings: [['not-closed', 1]], held: 1 },
    { asOfMs: at(3) + 4_999, settleMs: 5_000 },
  )
  check(
    'settled to the millisecond',
    [bar(2)],
    { accepted: [2] },
    {
      asOfMs: at(3) + 5_000,
      settleMs: 5_000,
    },
  )
  check(
    'a bad row of an open bar is only held',
    [bar(0), bar(1, { high: 1 })],
    { accepted: [0], findings: [['not-closed', 1]], held: 1 },
    { asOfMs: at(1) },
  )
  check(
    'unreadable rows',
    [bar(0)],
    { accepted: [0], findings: [['bad-number', 1]], quarantined: [[3, 4]] },
    { badRows: [{ kind: 'bad-number', openTimeMs: at(3), detail: 'close is null' }] },
  )
  check(
    'an unreadable row outside the range',
    [bar(0)],
    { accepted: [0], findings: [['out-of-range', 1]] },
    { badRows: [{ kind: 'bad-number', openTimeMs: at(11), detail: 'close is null' }] },
  )
  check(
    'a row without a time casts doubt on the page',
    [bar(0)],
    { accepted: [0], findings: [['bad-number', 1]], untrusted: true },
    { badRows: [{ kind: 'bad-number', detail: 'row 3 is null' }] },
  )
  check('an open time that is NaN', [bar(0), bar(nan)], {
    accepted: [0],
    findings: [['bad-number', 1]],
    untrusted: true,
  })
  check('an open time between milliseconds', [bar(0), { ...bar(1), openTimeMs: at(1) + 0.5 }], {
    accepted: [0],
    findings: [['bad-number', 1]],
    quarantined: [[1, 2]],
  })
  check(
    'an off-grid row that is rejected quarantines the slot it opens in',
    [bar(1.25, { high: 1, native: {} })],
    { accepted: [], findings: [['bad-ohlc', 1]], quarantined: [[1, 2]] },
  )
})

describe('validate: conflicts, many findings, calendars', () => {
  test('of two different rows of one time the later one sent is kept', () => {
    const result = judge([bar(1, { close: 10 }), bar(0), bar(1, { close: 11.5 })], [], {})
    expect(barsOf(result.accepted).map((b) => b.close)).toEqual([11, 11.5])
    expect(result.findings.map((f) => f.kind)).toEqual(['conflicting-duplicate', 'out-of-order'])
    expect(result.findings[0]).toMatchObject({
      openTimeMs: at(1),
      detail: expect.stringContaining('close 10'),
    })
  })

  test('findings are bounded, and their counts still sum to the total', () => {
    const rows = Array.from({ length: 300 }, (_, i) => bar(i, i % 2 === 0 ? { high: 1 } : {}))
    const { findings, accepted } = judge(rows, [], { range: { startMs: at(0), endMs: at(300) } })
    expect(accepted.length).toBe(150)
    expect(findings).toHaveLength(21)
    expect(findings.reduce((sum, f) => sum + (f.count ?? 1), 0)).toBe(150)
  })

  test('a clean page is handed on without copying', () => {
    const rows = batchFromBars([bar(0), bar(1)])
    const judgement = {
      series: series({ venue: 'v', market: 'm', symbol: 'S' }, '1m'),
      range: { startMs: at(0), endMs: at(10) },
      asOfMs: at(1000),
      settleMs: 0,
    }
    expect(validate({ rows, badRows: [] }, judgement).accepted).toBe(rows)
  })

  const day = (text: string) => Date.parse(`${text}T00:00:00Z`)
  const plain = (text: string): Bar => ({ ...bar(0), openTimeMs: day(text), native: {} })
  const calendars: readonly (readonly [string, string[], number | undefined, FindingKind[]])[] = [
    ['1M', ['2024-01-01', '2024-02-01', '2024-03-01'], undefined, []],
    ['1M', ['2024-01-01', '2024-02-02'], undefined, ['off-grid']],
    ['1w', ['2024-01-01', '2024-01-08'], undefined, []],
    ['1w', ['2024-01-02'], undefined, ['off-grid']],
    ['3d', ['2024-01-02', '2024-01-05'], undefined, []],
    ['3d', ['2024-01-02', '2024-01-06'], undefined, ['off-grid']],
    ['3d', ['2024-01-02', '2024-01-05'], day('2023-12-31'), ['off-grid', 'off-grid']],
  ]
  for (const [of, opens, anchorMs, kinds] of calendars) {
    test(`the grid of ${of}: ${opens.join(', ')} gives ${kinds.join(', ') || 'nothing'}`, () => {
      const range = { startMs: day('2023-12-01'), endMs: day('2024-06-01') }
      const anchor = anchorMs === undefined ? {} : { anchorMs }
      const result = judge(opens.map(plain), [], { of, range, asOfMs: day('2025-01-01'), ...anchor })
      expect(result.accepted.length).toBe(opens.length)
      expect(result.findings.map((f) => f.kind)).toEqual(kinds)
    })
  }

  test('a month bar is final at the first of the next month', () => {
    const range = { startMs: day('2024-01-01'), endMs: day('2024-06-01') }
    const rows = [plain('2024-01-01'), plain('2024-02-01')]
    expect(judge(rows, [], { of: '1M', range, asOfMs: day('2024-03-01') - 1 }).accepted.length).toBe(1)
    expect(judge(rows, [], { of: '1M', range, asOfMs: day('2024-03-01') }).accepted.length).toBe(2)
  })
})
