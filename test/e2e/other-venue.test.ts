import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inFolder, runHere } from '../run-cli.ts'
import { sharedData } from '../shared-data.ts'
import { type OtherVenueOptions, otherVenue, type WireRow } from '../support/other-venue.ts'
import { filesIn, readLakeFile } from '../support/root.ts'
import { lakeRowOf, readVision, type VisionRow } from '../support/vision.ts'

const MINUTE = 60_000
const at = (text: string) => Date.parse(text)

/** A row that tells its minute by its prices, written as the venue writes it. */
function row(openTimeMs: number, closeTimeMs = openTimeMs + MINUTE - 1): WireRow {
  const price = 10_000 + ((openTimeMs / 1000) % 5_000)
  const text = (value: number) => value.toFixed(8)
  const volume = text((openTimeMs / MINUTE) % 7)
  return [
    openTimeMs,
    ...[price, price + 2.5, price - 2.25, price + 1.125].map(text),
    volume,
    closeTimeMs,
    text(price * 3),
    17,
    text(1.5),
    text(1.25),
    '0',
  ]
}

function rowsFrom(from: string, to: string, shiftMs = 0): WireRow[] {
  const rows: WireRow[] = []
  for (let ms = at(from); ms < at(to); ms += MINUTE) rows.push(row(ms + shiftMs))
  return rows
}

const lakeRow = (cells: WireRow): readonly number[] => cells.slice(0, 11).map(Number)

/** Serves, syncs as a process, and gives what became of it. */
async function synced<T>(
  options: OtherVenueOptions,
  range: readonly string[],
  look: (found: {
    root: string
    run: (...args: string[]) => ReturnType<typeof runHere>
    sync: Awaited<ReturnType<typeof runHere>>
    asked: readonly string[]
  }) => Promise<T>,
): Promise<T> {
  const venue = await otherVenue(options)
  try {
    return await inFolder(async (root) => {
      const run = (...args: string[]) =>
        runHere([...args, '--root', root, '--json'], {
          env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.baseUrl },
        })
      const sync = await run('sync', 'binance:spot:BTCUSDT:1m', ...range)
      return look({ root, run, sync, asked: venue.asked })
    })
  } finally {
    await venue.close()
  }
}

const month = (root: string, name: string) => {
  const file = filesIn(join(root, 'lake')).find((path) => path.includes(`_h0_${name}_`))
  return readLakeFile(join(root, 'lake', file ?? `no file of ${name}`))
}

describe('a venue of another make', () => {
  test.skipIf(!sharedData)('gives the same lake (skipped where ../shared/data is absent)', async () => {
    const path = join(
      sharedData!,
      'binance-vision/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2018-02.zip',
    )
    const file = readVision(path)
    const rows = file.map(({ cells }: VisionRow) => [
      Number(cells[0]),
      ...cells.slice(1, 6),
      Number(cells[6]),
      cells[7]!,
      Number(cells[8]),
      ...cells.slice(9),
    ])
    await synced(
      { rows: { BTCUSDT: rows } },
      ['--from', '2018-02', '--to', '2018-03'],
      async ({ root, run, sync }) => {
        expect(sync.json()).toMatchObject({ ok: true, code: 0 })
        expect(sync.json().data.series[0].missing).toEqual({ source_absent: 1411 + 600 + 15 + 34 })
        expect(await month(root, '2018_02')).toEqual(file.map(lakeRowOf))
        expect((await run('verify')).json().data).toMatchObject({ complete: true, faults: [] })
      },
    )
  })

  /** As in December 2017: an outage, then a day of bars that open 14.789 s after the minute, then the grid again. */
  const history = [
    ...rowsFrom('2017-12-03T00:00Z', '2017-12-04T06:00Z'),
    row(at('2017-12-04T06:00Z'), at('2017-12-04T06:00:20.123Z')),
    ...rowsFrom('2017-12-04T06:49Z', '2017-12-05T03:00Z', 14_789),
    ...rowsFrom('2017-12-05T03:01Z', '2017-12-06T00:00Z'),
  ]
  const RANGE = ['--from', '2017-12-03', '--to', '2017-12-06']

  const disorder: readonly [string, OtherVenueOptions['spoil'], Record<string, number>][] = [
    ['as it is', undefined, {}],
    ['newest first', (page) => [...page].reverse(), { 'out-of-order': 1 }],
    [
      'with rows twice',
      (page) => page.flatMap((one, i) => (i % 100 === 50 ? [one, one] : [one])),
      { duplicate: 1 },
    ],
    [
      'with two rows changed about',
      (page) => [...page.slice(0, 300), ...page.slice(301, 302), ...page.slice(300, 301), ...page.slice(302)],
      { 'out-of-order': 1 },
    ],
    [
      'with rows of another week',
      (page) => [row(at('2017-11-20T00:00Z')), ...page, row(at('2018-01-20T00:00Z'))],
      { 'out-of-range': 1 },
    ],
  ]
  test.each(disorder)('rows off the grid, %s: all are kept, each once', (_, spoil, kinds) =>
    synced({ rows: { BTCUSDT: history }, ...(spoil && { spoil }) }, RANGE, async ({ root, run, sync }) => {
      expect(sync.json()).toMatchObject({ ok: true, code: 0 })
      const [series] = sync.json().data.series
      // Rows are counted: one that came twice counts twice.
      expect(series.findings['off-grid'] - (series.findings.duplicate ?? 0)).toBeLessThanOrEqual(20 * 60 + 11)
      for (const kind of Object.keys(kinds)) expect(series.findings[kind], kind).toBeGreaterThan(0)
      expect(await month(root, '2017_12')).toEqual(history.map(lakeRow))
      // 06:01 to 06:48; the bar of 03:00 on the 5th would have opened at 03:00:14.789.
      expect(series.missing).toEqual({ source_absent: 48 + 1 })
      expect((await run('verify')).json()).toMatchObject({ code: 0, data: { faults: [], complete: true } })
    }),
  )

  test('without a date in its answers it is asked all the same', () =>
    synced({ rows: { BTCUSDT: history }, dated: false }, RANGE, async ({ sync, asked }) => {
      expect(sync.json()).toMatchObject({ ok: true, code: 0 })
      expect(sync.stderr).toContain('clock')
      expect(new Set(asked.map((path) => path.split('?')[0]))).toEqual(
        new Set(['/api/v3/exchangeInfo', '/api/v3/klines']),
      )
    }))

  test('a person is told of rows off the grid', async () => {
    const venue = await otherVenue({ rows: { BTCUSDT: history } })
    try {
      await inFolder(async (root) => {
        const { code, stdout } = await runHere(
          ['sync', 'binance:spot:BTCUSDT:1m', ...RANGE, '--root', root],
          {
            env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.baseUrl },
          },
        )
        expect(code).toBe(0)
        expect(stdout).toContain('found in binance:spot:BTCUSDT:1m: off-grid 1,211, short-bar 1\n')
      })
    } finally {
      await venue.close()
    }
  })

  test.each(['１２３４５６', '币安人生USDT', 'A.B-C_D'])('symbols of any spelling: %s', async (symbol) => {
    const venue = await otherVenue({ rows: { [symbol]: history } })
    try {
      await inFolder(async (root) => {
        const run = (...args: string[]) =>
          runHere([...args, '--root', root, '--json'], {
            env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.baseUrl },
          })
        expect((await run('sync', `binance:spot:${symbol}:1m`, ...RANGE)).json()).toMatchObject({ code: 0 })
        const files = filesIn(root).filter((path) => /lake\/|responses\//.test(path))
        expect(files.filter((path) => !/^[A-Za-z0-9._/-]+$/.test(path))).toEqual([])
        expect((await run('query', 'SELECT symbol, count(*) AS n FROM bars GROUP BY 1')).json().data).toEqual(
          [{ symbol, n: history.length }],
        )
        expect((await run('verify')).json()).toMatchObject({ code: 0, data: { complete: true } })
      })
    } finally {
      await venue.close()
    }
  })

  test('a symbol that stops trading is complete to its end, and says why nothing follows', () =>
    synced(
      { rows: { BTCUSDT: rowsFrom('2017-12-03T00:00Z', '2017-12-03T09:30Z') } },
      ['--from', '2017-12-03', '--to', '2017-12-08'],
      async ({ sync, run, asked }) => {
        expect(sync.json()).toMatchObject({ ok: true, code: 0 })
        const gaps = (await run('gaps')).json().data
        expect(gaps).toMatchObject([
          { class: 'after_delisting', range: { startMs: at('2017-12-03T09:30Z') } },
        ])
        expect(gaps[0].evidence).toContain('2017-12-03T09:29:00Z')
        // Beside the slices: the first bar, where the bars go on, the last one.
        expect(asked.filter((path) => path.includes('limit=1&') || path.endsWith('limit=1'))).toHaveLength(3)
      },
    ))

  test('a symbol that trades again: what lay between was no end, and the bars go on', () => {
    const rows = rowsFrom('2017-12-03T00:00Z', '2017-12-03T09:30Z')
    return synced(
      { rows: { BTCUSDT: rows } },
      ['--from', '2017-12-03', '--to', '2017-12-05'],
      async ({ sync, run, root }) => {
        expect(sync.json()).toMatchObject({
          ok: true,
          data: { series: [{ missing: { after_delisting: 2310 } }] },
        })
        rows.push(...rowsFrom('2017-12-06T00:00Z', '2017-12-08T00:00Z'))
        const again = await run(
          'sync',
          'binance:spot:BTCUSDT:1m',
          '--from',
          '2017-12-03',
          '--to',
          '2017-12-08',
        )
        expect(again.json()).toMatchObject({ ok: true, data: { series: [{ complete: true }] } })
        expect((await run('gaps')).json().data).toMatchObject([
          {
            class: 'source_absent',
            range: { startMs: at('2017-12-03T09:30Z'), endMs: at('2017-12-06T00:00Z') },
          },
        ])
        expect(await month(root, '2017_12')).toEqual(rows.map(lakeRow))
        expect((await run('verify')).json()).toMatchObject({ code: 0, data: { faults: [], complete: true } })
      },
    )
  })
})
