import { describe, expect, test } from 'vitest'
import { weightOf } from '../chunking/definitions.ts'
import { cheapestPageSize } from '../chunking/page-size.ts'
import {
  type Bar,
  barsOf,
  type NativeField,
  nativeFields,
  type PriceField,
  priceFields,
} from '../model/bar.ts'
import { EverybarError, type Recovery } from '../model/errors.ts'
import type { Series } from '../model/series.ts'
import { nextOpen, shiftBars, widthMsMax } from '../model/timeframe.ts'
import type { EndpointSpec, Source } from '../source/source.ts'

/** An answer of the venue, and what has to come of it. */
export interface AnswerCase {
  readonly name: string
  readonly status: number
  readonly body: string
  readonly code: string
  readonly recovery: Recovery
}

/** A source under test, and how its venue writes. Its bars are arrays of cells. */
export interface SourceSubject {
  readonly source: Source
  /** A series it serves, of a timeframe whose grid is known. */
  readonly series: Series
  /** An open time of that series from which on bars may be made up. */
  readonly openTimeMs: number
  /** A bar as the venue's row, and a list of rows as its body. */
  readonly rowOf: (bar: Bar) => readonly unknown[]
  readonly bodyOf: (rows: readonly (readonly unknown[])[]) => string
  /** Which cell of a row is which. */
  readonly cells: { readonly openTimeMs: number } & { readonly [field in PriceField]: number }
  readonly native: readonly NativeField[]
  /** The venue's own refusals. */
  readonly refusals: readonly AnswerCase[]
  /** Bodies as the venue sent them, by name: what the spec's evidence calls `fixture <name>`. */
  readonly fixtures: Readonly<Record<string, { readonly body: string; readonly bars: number }>>
  readonly venueInfo?: {
    readonly body: string
    /** Where the venue tells its clock in a header. */
    readonly headers?: Readonly<Record<string, string>>
    readonly venueTimeMs: number
    readonly limits: number
  }
  /** An answer to `instruments`, and the symbols in it. */
  readonly instruments?: { readonly body: string; readonly symbols: readonly string[] }
}

const bytes = (text: string) => new TextEncoder().encode(text)
const claims = [
  ...['markets', 'timeframes', 'chunkPolicy', 'chunkHint', 'weightPolicy', 'bounds'],
  ...['order', 'quietBars', 'settleMs', 'bucket', 'limits'],
]

async function thrown(run: () => unknown): Promise<EverybarError | undefined> {
  try {
    await run()
  } catch (error) {
    if (error instanceof EverybarError) return error
    throw error
  }
  return undefined
}

/** Everything the `Source` door promises, for any endpoint. */
export function sourceContract(name: string, subject: SourceSubject): void {
  describe(`source: ${name}`, () => {
    specContract(subject)
    requestContract(subject)
    checkContract(subject)
    decodeContract(subject)
    extrasContract(subject)
  })
}

const policyOf = ({ chunkPolicy }: EndpointSpec, timeframe: string) =>
  typeof chunkPolicy === 'function' ? chunkPolicy({ timeframe }) : chunkPolicy

function specContract({ source: { spec }, series, fixtures }: SourceSubject): void {
  describe('spec', () => {
    test('every claim has evidence, and every fixture it names is there', () => {
      expect(claims.filter((claim) => !spec.evidence[claim]?.trim())).toEqual([])
      const named = Object.values(spec.evidence).flatMap((text) => [...text.matchAll(/fixture ([\w.-]+\w)/g)])
      expect(named.map((match) => match[1]!).filter((file) => !(file in fixtures))).toEqual([])
    })

    test('the id is venue, dot, endpoint; the directory is one plain name', () => {
      expect(spec.id).toMatch(new RegExp(`^${spec.venue}\\.[a-z0-9-]+$`))
      expect(spec.directory).toMatch(/^[a-z0-9-]+$/)
      expect(spec.markets).toContain(series.instrument.market)
      expect(spec.timeframes).toContain(series.timeframe)
    })

    test('limits and weights are positive, and the cheapest page fits one request', () => {
      for (const limit of spec.limits) {
        expect(limit.bucket).toBe(spec.bucket)
        expect(Math.min(limit.capacity, limit.windowMs)).toBeGreaterThan(0)
      }
      const policy = policyOf(spec, series.timeframe)
      const page = cheapestPageSize(policy, spec.weightPolicy)
      expect(page).toBeGreaterThanOrEqual(1)
      expect(page).toBeLessThanOrEqual(policy.maxPoints)
      for (const limit of [1, page, policy.maxPoints]) {
        expect(weightOf(spec.weightPolicy, limit)).toBeGreaterThanOrEqual(1)
      }
      // Final before its width is over at most by that width.
      expect(spec.settleMs).toBeGreaterThan(-widthMsMax(series.timeframe))
    })
  })
}

const windowOf = ({ series, openTimeMs }: SourceSubject, bars: number, limit = bars) => ({
  series,
  range: { startMs: openTimeMs, endMs: shiftBars(series.timeframe, openTimeMs, bars) },
  limit,
})

function requestContract(subject: SourceSubject): void {
  const { source, series } = subject
  const { maxPoints } = policyOf(source.spec, series.timeframe)
  describe('request', () => {
    test('is pure, charged to the bucket at the weight of its limit', async () => {
      for (const limit of [1, Math.min(10, maxPoints), maxPoints]) {
        const request = await source.request(windowOf(subject, limit))
        expect(await source.request(windowOf(subject, limit))).toEqual(request)
        expect(request.bucket).toBe(source.spec.bucket)
        expect(request.weight).toBe(weightOf(source.spec.weightPolicy, limit))
        expect(URL.canParse(request.url)).toBe(true)
      }
    })

    test.each([
      ['more bars than its limit', windowOf(subject, 11, 10)],
      ['a limit above the endpoint', windowOf(subject, 1, maxPoints + 1)],
      ['more bars than the endpoint gives', windowOf(subject, maxPoints + 1)],
      ['no limit', windowOf(subject, 1, 0)],
    ])('a window with %s is refused', async (_name, window) => {
      const error = await thrown(() => source.request(window))
      expect([error?.code, error?.recovery]).toEqual(['source.window-too-wide', 'abort'])
    })

    test('a series of another venue, market or kind of price is refused', async () => {
      const { instrument } = series
      const others: Series[] = [
        { ...series, instrument: { ...instrument, venue: 'elsewhere' } },
        { ...series, instrument: { ...instrument, market: 'elsewhere' } },
        { ...series, price: series.price === 'index' ? 'trade' : 'index' },
      ]
      for (const other of others) {
        const error = await thrown(() => source.request({ ...windowOf(subject, 1), series: other }))
        expect([error?.code, error?.recovery]).toEqual(['source.not-served', 'abort'])
      }
    })
  })
}

/** Bars of a series with different values in every cell. */
function makeBars({ series, openTimeMs, native }: SourceSubject, count: number): Bar[] {
  return Array.from({ length: count }, (_, i) => {
    const open = shiftBars(series.timeframe, openTimeMs, i)
    const values: { [field in NativeField]?: number } = {}
    native.forEach((field, n) => {
      values[field] = field === 'closeTimeMs' ? nextOpen(series.timeframe, open) - 1 : i + n + 1
    })
    const price = 100 + i / 4
    return {
      ...{ openTimeMs: open, open: price, high: price + 2, low: price - 2, close: price + 1, volume: 5 + i },
      native: values,
    }
  })
}

const longPage = 200

function checkContract(subject: SourceSubject): void {
  const { source, rowOf, bodyOf, refusals } = subject
  const page = bodyOf(makeBars(subject, longPage).map(rowOf))
  const small = bodyOf(makeBars(subject, 2).map(rowOf))
  const lastRow = JSON.stringify(rowOf(makeBars(subject, 2)[1]!))
  const check = async (status: number, body: string) => {
    const { url } = await source.request(windowOf(subject, 1))
    return thrown(() => source.check({ url, status, headers: {}, body: bytes(body) }))
  }

  const notAnswers: [string, string][] = [
    ['HTML', '<!DOCTYPE html><html><body>Sign in</body></html>'],
    ['HTML after white space', '\n  <html></html>'],
    ['nothing', ''],
    ['white space', ' \n'],
    ['null', 'null'],
    ['an empty object', '{}'],
    ['a number', '42'],
    ['a text', '"ok"'],
    ['plain text', 'Service temporarily unavailable'],
    ['a short page cut in half', small.slice(0, small.length / 2)],
    ['a long page cut in half', page.slice(0, page.length / 2)],
    ['a page cut after a row', small.slice(0, small.indexOf(lastRow) + lastRow.length)],
    ['a long page without its last character', page.slice(0, -1)],
  ]
  const statuses: [number, Recovery][] = [
    [500, 'retry'],
    [502, 'retry'],
    [503, 'retry'],
    [504, 'retry'],
    [408, 'retry'],
    [429, 'retry'],
    [418, 'retry'],
    [403, 'retry'],
    [451, 'abort'],
    [400, 'abort'],
    [404, 'abort'],
  ]
  describe('check', () => {
    test('lets an answer pass, empty or not', async () => {
      for (const body of [page, small, bodyOf([]), `${small}\n`]) {
        expect(await check(200, body)).toBeUndefined()
      }
    })

    test.each(notAnswers)('status 200 with %s is no answer: retry', async (_name, body) => {
      const error = await check(200, body)
      expect([error?.code, error?.recovery]).toEqual(['source.not-an-answer', 'retry'])
    })

    test.each(statuses)('status %i is refused: %s', async (status, recovery) => {
      for (const body of ['<html>error</html>', '', page]) {
        const error = await check(status, body)
        expect(error?.recovery).toBe(recovery)
        expect(error?.hint).not.toBe('')
      }
    })

    test.each(refusals)('$name: $code', async ({ status, body, code, recovery }) => {
      const error = await check(status, body)
      expect([error?.code, error?.recovery]).toEqual([code, recovery])
    })
  })
}

function decodeContract(subject: SourceSubject): void {
  const { source, rowOf, bodyOf, cells, native, fixtures } = subject
  const window = windowOf(subject, 10)
  const decode = async (rows: readonly (readonly unknown[])[]) => source.decode(bytes(bodyOf(rows)), window)
  const bars = makeBars(subject, 5)
  const rows = bars.map(rowOf)
  const spoil = (i: number, cell: number, value: unknown) =>
    rows.map((row, r) => (r === i ? row.map((old, c) => (c === cell ? value : old)) : row))

  describe('decode', () => {
    test('gives every bar with every field, in answer order', async () => {
      for (const order of [bars, [...bars].reverse(), [bars[2]!, bars[0]!, bars[0]!, bars[4]!]]) {
        const page = await decode(order.map(rowOf))
        expect(barsOf(page.rows)).toEqual(order)
        expect(page.badRows).toEqual([])
        expect(nativeFields.filter((field) => page.rows.native[field])).toEqual(
          nativeFields.filter((field) => native.includes(field)),
        )
      }
    })

    test('is pure', async () => expect(await decode(rows)).toEqual(await decode(rows)))

    test('an empty page is no rows and no fault', async () => {
      const page = await decode([])
      expect([page.rows.length, page.badRows]).toEqual([0, []])
    })

    const bad: [string, unknown][] = [
      ['null', null],
      ['an empty text', ''],
      ['blanks', ' '],
      ['NaN', 'NaN'],
      ['Infinity', 'Infinity'],
      ['hexadecimal', '0x10'],
      ['a word', 'n/a'],
      ['a thousands separator', '1,000.0'],
      ['true', true],
      ['a list', [1]],
      ['an object', {}],
    ]
    test.each(bad)('%s in a price or volume is a bad row, never 0', async (_name, value) => {
      for (const field of priceFields) {
        const page = await decode(spoil(2, cells[field], value))
        expect(barsOf(page.rows)).toEqual(bars.filter((_, i) => i !== 2))
        expect(page.badRows).toMatchObject([{ kind: 'bad-number', openTimeMs: bars[2]!.openTimeMs }])
        expect(page.badRows[0]!.detail).toContain('row 2')
        expect(page.badRows[0]!.detail).toContain(field)
      }
    })

    test.each([
      ['null', null],
      ['a word', 'soon'],
      ['a fraction', 1.5],
    ])('%s for an open time is a bad row', async (_name, value) => {
      const page = await decode(spoil(0, cells.openTimeMs, value))
      expect(page.rows.length).toBe(4)
      expect(page.badRows).toMatchObject([{ kind: 'bad-number' }])
      expect(page.badRows[0]).not.toHaveProperty('openTimeMs')
    })

    test('a row without all its columns is a bad row, one with more is read', async () => {
      const short = rows.map((row, i) => (i === 1 ? row.slice(0, 4) : row))
      expect((await decode(short)).badRows).toMatchObject([
        { kind: 'bad-number', openTimeMs: bars[1]!.openTimeMs },
      ])
      expect(barsOf((await decode(rows.map((row) => [...row, 'new']))).rows)).toEqual(bars)
    })

    test('what is nested deeper than a stack goes is refused, or a bad row', async () => {
      const deep = '['.repeat(50_000) + ']'.repeat(50_000)
      for (const body of [bodyOf(spoil(2, cells.open, 'DEEP')), '"DEEP"', '{"a":"DEEP"}']) {
        const error = await thrown(async () => {
          const page = await source.decode(bytes(body.replace('"DEEP"', deep)), window)
          expect([page.badRows.length > 0, page.rows.length < bars.length]).toEqual([true, true])
        })
        if (error) expect(error.code).toMatch(/^source\./)
      }
    })

    test('a negative number is read: whether it makes sense is not judged here', async () => {
      expect((await decode(spoil(3, cells.low, '-1.5'))).rows.low[3]).toBe(-1.5)
    })

    test.each(['<html>', '', '[[1,', '42', '"x"', 'null'])(
      '%j, no page at all, is unreadable',
      async (body) => {
        const error = await thrown(() => source.decode(bytes(body), window))
        expect([error?.code, error?.recovery]).toEqual(['source.unreadable', 'quarantine'])
      },
    )

    test.each(Object.entries(fixtures))(
      'fixture %s is let pass and read',
      async (_name, { body, bars: count }) => {
        const { url } = await source.request(windowOf(subject, 1))
        await source.check({ url, status: 200, headers: {}, body: bytes(body) })
        const page = await source.decode(bytes(body), window)
        expect([page.rows.length, page.badRows]).toEqual([count, []])
      },
    )
  })
}

function extrasContract(subject: SourceSubject): void {
  const { source, series, rowOf, bodyOf } = subject
  const { venueInfo, instruments } = source
  for (const name of ['firstBar', 'lastBar', 'nextBar'] as const) {
    const probe = source[name]
    if (!probe) continue
    test(`${name}: the open time of one bar, undefined where there is none`, async () => {
      const request = await probe.request(series, subject.openTimeMs)
      expect([request.bucket, request.weight >= 1]).toEqual([source.spec.bucket, true])
      const [bar] = makeBars(subject, 1)
      const body = bytes(bodyOf([rowOf(bar!)]))
      expect(
        await thrown(() => source.check({ url: request.url, status: 200, headers: {}, body })),
      ).toBeUndefined()
      expect(await probe.decode(body, series)).toBe(bar!.openTimeMs)
      expect(await probe.decode(bytes(bodyOf([])), series)).toBeUndefined()
      const broken = bytes(bodyOf([rowOf(bar!).map(() => null)]))
      expect((await thrown(() => probe.decode(broken, series)))?.code).toBe('source.unreadable')
    })
  }
  const listed = subject.instruments
  if (instruments && listed) {
    test('instruments: every symbol listed', async () => {
      const { url, bucket } = await instruments.request(series.instrument.market)
      expect(bucket).toBe(source.spec.bucket)
      const body = bytes(listed.body)
      expect(await thrown(() => source.check({ url, status: 200, headers: {}, body }))).toBeUndefined()
      expect((await instruments.decode(body)).map(({ symbol }) => symbol)).toEqual(listed.symbols)
      expect((await thrown(() => instruments.decode(bytes('{}'))))?.code).toBe('source.unreadable')
    })
  }
  const info = subject.venueInfo
  if (venueInfo && info) {
    test('venueInfo: clock and limits; the check knows its shape', async () => {
      const { url, bucket, weight } = await venueInfo.request(series)
      expect([bucket, weight >= 1]).toEqual([source.spec.bucket, true])
      const check = (body: string) =>
        thrown(() => source.check({ url, status: 200, headers: {}, body: bytes(body) }))
      expect(await check(info.body)).toBeUndefined()
      for (const body of ['', '<html>', 'null', '{}', '[]', info.body.slice(0, -2)]) {
        expect((await check(body))?.recovery).toBe('retry')
      }
      const read = await venueInfo.decode(bytes(info.body), series, info.headers)
      expect(read.venueTimeMs).toBe(info.venueTimeMs)
      expect(read.limits.length).toBe(info.limits)
      for (const limit of read.limits) expect(limit.bucket).toBe(source.spec.bucket)
      expect((await thrown(() => venueInfo.decode(bytes('{}'), series)))?.code).toBe('source.unreadable')
    })
  }
}
