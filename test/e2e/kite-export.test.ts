import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { checkLong, readParquet } from '../consumers.ts'
import { inFolder, runCli } from '../run-cli.ts'

const shares = [
  { token: 738561, symbol: 'RELIANCE', listed: '2000-01-03' },
  {
    token: 60417,
    symbol: 'GOLD24APRFUT',
    exchange: 'MCX',
    type: 'FUT',
    segment: 'MCX-FUT',
    expiry: '2024-04-05',
  },
]
const evening = (day: string) => Date.parse(`${day}T18:00:00+05:30`)

describe('training data of a market that closes', () => {
  test('days of India are on the grids that know no sessions, and complete', async () => {
    const venue = await startKiteSimulator({ instruments: shares, nowMs: evening('2024-03-12') })
    try {
      await inFolder(async (cwd) => {
        writeFileSync(join(cwd, 'everybar.yaml'), 'root: ./data\n')
        const env = {
          EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
          EVERYBAR_KITE_API_KEY: venue.apiKey,
          EVERYBAR_KITE_API_SECRET: venue.apiSecret,
          XDG_CONFIG_HOME: join(cwd, 'config'),
        }
        const run = (...args: string[]) => runCli(args, { cwd, env })
        expect((await run('kite', 'login', '--request-token', venue.requestToken)).code).toBe(0)
        expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
        for (const [timeframe, grid, rows] of [
          ['1d', 'business-days', 6],
          ['1d', 'calendar', 8],
          ['1h', 'calendar', 189],
        ] as const) {
          const id = `kite:nse:RELIANCE:${timeframe}`
          const range = ['--from', '2024-03-04', '--to', '2024-03-12']
          expect((await run('sync', id, ...range)).code).toBe(0)
          const made = await run(
            'export',
            id,
            ...range,
            '--grid',
            grid,
            '--out',
            `${timeframe} ${grid}`,
            '--json',
          )
          expect([timeframe, grid, made.code]).toEqual([timeframe, grid, 0])
          const [series] = made.json().data.series
          expect([series.rows, series.off_grid, series.complete]).toEqual([rows, 0, true])
          // Of the days from the 5th to the 11th all but Friday the 8th, a holiday, and a weekend.
          expect(Object.keys(series.gaps)).toEqual(['closed_session'])
        }
      })
    } finally {
      await venue.close()
    }
  })

  test('--grid compact has the open slots only, with features over nights and holidays', async () => {
    const venue = await startKiteSimulator({ instruments: shares, nowMs: evening('2024-03-12') })
    try {
      await inFolder(async (cwd) => {
        writeFileSync(join(cwd, 'everybar.yaml'), 'root: ./data\n')
        const env = {
          EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
          EVERYBAR_KITE_API_KEY: venue.apiKey,
          EVERYBAR_KITE_API_SECRET: venue.apiSecret,
          XDG_CONFIG_HOME: join(cwd, 'config'),
        }
        const run = (...args: string[]) => runCli(args, { cwd, env })
        expect((await run('kite', 'login', '--request-token', venue.requestToken)).code).toBe(0)
        expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
        const id = 'kite:nse:RELIANCE:15m'
        const range = ['--from', '2024-03-06', '--to', '2024-03-12']
        const synced = await run('sync', id, ...range)
        expect([synced.code, synced.stderr]).toEqual([0, expect.any(String)])

        const made = await run(
          'export',
          id,
          ...range,
          '--grid',
          'compact',
          '--features',
          'log-return,lag:close:25',
          '--out',
          'out',
          '--json',
        )
        expect(made.code).toBe(0)
        // Wednesday, Thursday and Monday; Friday the 8th was a holiday. A day has 25 quarters.
        const { items, frequency } = await checkLong(join(cwd, 'out', 'long.parquet'), [
          'target',
          'close_log_return_1',
          'close_lag_25',
        ])
        const rows = items.get(id)!
        expect([rows.length, frequency]).toEqual([75, 900_000])
        expect(rows.slice(25).map((row) => row.close_lag_25)).toEqual(
          rows.slice(0, 50).map((row) => row.target),
        )
        expect(rows[50]!.close_log_return_1).toBeCloseTo(
          Math.log(Number(rows[50]!.target) / Number(rows[49]!.target)),
          9,
        )
        const { rows: map } = await readParquet(join(cwd, 'out', 'mapping.parquet'))
        expect([0, 24, 25, 50, 74].map((i) => map[i]!.open_time)).toEqual(
          ['06T09:15', '06T15:15', '07T09:15', '11T09:15', '11T15:15'].map(
            (time) => new Date(`2024-03-${time}:00+05:30`),
          ),
        )
        expect(made.json().data.series[0]).toMatchObject({ rows: 75, missing: 0, complete: true })

        const again = await run('export', '--locked', join('out', 'dataset.json'), '--out', 'again', '--json')
        expect([again.code, again.json().data.outputs]).toEqual([0, made.json().data.outputs])

        const unknown = await run(
          'export',
          'kite:mcx:GOLD24APRFUT:15m',
          ...range,
          '--grid',
          'compact',
          '--out',
          'gold',
        )
        expect(unknown.code).toBe(2)
        expect(unknown.stderr).toContain('error[loader.bad-grid]')
        expect(unknown.stderr).toContain('no session calendar is known for kite:mcx')
        const badFeature = await run('export', id, ...range, '--features', 'profit', '--out', 'bad')
        expect([badFeature.code, badFeature.stderr]).toEqual([
          2,
          expect.stringContaining('error[loader.bad-feature]'),
        ])
      })
    } finally {
      await venue.close()
    }
  })
})
