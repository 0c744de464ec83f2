import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'
const at = (text: string) => Date.parse(text)

interface Bench {
  readonly venue: Simulator
  readonly run: (...args: string[]) => ReturnType<typeof runHere>
  /** Klines requests since the last call, as start times. */
  readonly asked: () => number[]
}

/** A venue, a root, and the command line between them. */
function bench(options: SimulatorOptions, body: (bench: Bench) => Promise<void>): Promise<void> {
  return inFolder(async (root) => {
    const venue = await startSimulator({ seed: 3, weightLimit: Number.POSITIVE_INFINITY, ...options })
    const asked = () => {
      const pages = venue
        .log()
        .filter(({ path, parameters }) => path === '/api/v3/klines' && parameters.limit !== '1')
      venue.resetStats()
      return pages.map(({ parameters }) => Number(parameters.startTime))
    }
    const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
    try {
      await body({ venue, asked, run: (...args) => runHere([...args, '--root', root], { env }) })
    } finally {
      await venue.close()
    }
  })
}

describe('restated bars', () => {
  test('are seen when their slice is asked once more; both values stay readable', () =>
    bench({ nowMs: at('2024-01-10T12:30:30Z') }, async ({ venue, run }) => {
      expect((await run('sync', BTC, '--from', '2024-01-10')).code).toBe(0)
      await sleep(20)
      const between = new Date().toISOString()
      await sleep(20)
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: at('2024-01-10T12:00:00Z'), volume: '1234.5' })
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: at('2024-01-10T12:01:00Z'), volume: '77' })
      venue.setNow(at('2024-01-10T12:40:30Z'))
      const second = (await run('sync', BTC, '--from', '2024-01-10', '--json')).json()
      expect(second.code).toBe(0)
      expect(second.data.series[0].bars).toMatchObject({ inserted: 10, revised: 2 })
      const listed = (await run('revisions', '--json')).json().data
      expect(listed.map((one: { openTimeMs: number }) => one.openTimeMs)).toEqual([
        at('2024-01-10T12:00:00Z'),
        at('2024-01-10T12:01:00Z'),
      ])
      expect(listed[1].changes).toEqual([{ field: 'volume', was: expect.any(Number), is: 77 }])
      const volume = async (...more: string[]) => {
        const sql = "SELECT volume FROM bars WHERE open_time = TIMESTAMP '2024-01-10 12:01:00'"
        return (await run('query', sql, '--json', ...more)).json().data[0]?.volume
      }
      expect(await volume()).toBe(77)
      expect(await volume('--as-of', between)).toBe(listed[1].changes[0].was)
      expect(await volume('--as-of', '2020-01-01')).toBeUndefined()
      expect((await run('verify')).code).toBe(0)
    }))

  test('are found by an audit of old slices', () =>
    bench({ nowMs: at('2024-02-01T00:00:30Z') }, async ({ venue, run, asked }) => {
      await run('sync', BTC, '--from', '2024-01-01', '--to', '2024-01-10')
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: at('2024-01-05T05:05:00Z'), volume: '9' })
      asked()
      const plain = (await run('sync', BTC, '--from', '2024-01-01', '--to', '2024-01-10', '--json')).json()
      expect(plain.data.series[0].bars.revised).toBe(0)
      expect(asked()).toEqual([])
      const audit = ['sync', BTC, '--from', '2024-01-01', '--to', '2024-01-10', '--json', '--recheck']
      const some = (await run(...audit, '2024-01-05/2024-01-06')).json()
      expect(some.data.series[0]).toMatchObject({ complete: true, bars: { revised: 1 } })
      expect(asked().length).toBe(some.data.series[0].slices.fetched)
      expect((await run(...audit, '100%')).json().data.series[0].slices.fetched).toBe(14)
      expect((await run(...audit, '0%')).json().data.series[0].slices.fetched).toBe(0)
      expect((await run(...audit, 'all')).code).toBe(2)
    }))

  test('the last bars of a slice that had just closed are read again by the next run', () =>
    bench({ nowMs: at('2024-01-10T12:00:30Z') }, async ({ venue, run, asked }) => {
      const span = 60_000_000
      const boundary = Math.ceil(at('2024-01-10T12:00:00Z') / span) * span
      venue.setNow(boundary + 5_500)
      await run('sync', BTC, '--from', '2024-01-10')
      asked()
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: boundary - 60_000, volume: '5' })
      venue.setNow(boundary + 180_500)
      const next = (await run('sync', BTC, '--from', '2024-01-10', '--json')).json()
      expect(asked()).toContain(boundary - span)
      expect(next.data.series[0].bars.revised).toBe(1)
      venue.setNow(boundary + 3 * 3_600_000)
      await run('sync', BTC, '--from', '2024-01-10')
      expect(asked()).not.toContain(boundary - span)
    }))
})

describe('absent bars', () => {
  const outage = { startMs: at('2024-01-03T02:00Z'), endMs: at('2024-01-03T04:30Z') }
  const range = ['--from', '2024-01-03', '--to', '2024-01-04']

  test('that every series of the venue lacks are an outage', () =>
    bench({ nowMs: at('2024-02-01T00:00:30Z'), outages: [outage] }, async ({ run }) => {
      await run('sync', BTC, ...range)
      const alone = (await run('gaps', BTC, '--json')).json().data
      expect(alone).toMatchObject([{ class: 'source_absent', bars: 150, range: outage }])
      expect((await run('sync', ETH, ...range)).code).toBe(0)
      const together = (await run('gaps', '--json')).json().data
      expect(together).toMatchObject([
        { series: BTC, class: 'venue_outage', bars: 150, range: outage },
        { series: ETH, class: 'venue_outage', bars: 150, range: outage },
      ])
      const explained = (await run('gaps', 'explain', BTC, '--json')).json().data
      expect(explained[0].answers.length).toBeGreaterThan(0)
      expect(explained[0].askedAt.length).toBe(1)
    }))

  test('are asked for again after an hour, a day, a week and a month, and then no more', () =>
    bench({ nowMs: at('2024-02-01T00:00:30Z'), outages: [outage] }, async ({ venue, run, asked }) => {
      const again = async (time: string) => {
        venue.setNow(at(time))
        expect((await run('sync', BTC, ...range)).code).toBe(0)
        return asked().length
      }
      await again('2024-02-01T00:00:30Z')
      const slices = 1 // the outage lies in one
      expect(await again('2024-02-01T00:30:00Z')).toBe(0)
      expect(await again('2024-02-01T01:30:00Z')).toBe(slices)
      expect(await again('2024-02-01T01:40:00Z')).toBe(0)
      expect(await again('2024-02-10T00:00:00Z')).toBe(slices)
      expect(await again('2024-02-11T00:00:00Z')).toBe(0)
      expect(await again('2024-03-10T00:00:00Z')).toBe(slices)
      expect(await again('2024-06-10T00:00:00Z')).toBe(0)
      const [gap] = (await run('gaps', 'explain', BTC, '--json')).json().data
      expect(gap).toMatchObject({ class: 'source_absent', settled: true })
      expect(gap.askedAt.length).toBe(4)
      expect((await run('verify')).code).toBe(0)
    }))

  test('at the end of a series that stopped trading are after its delisting', () =>
    bench(
      {
        nowMs: at('2024-02-01T00:00:30Z'),
        outages: [{ startMs: at('2024-01-20'), endMs: at('2025-01-01') }],
      },
      async ({ run }) => {
        const result = (await run('sync', BTC, '--from', '2024-01-19', '--to', '2024-01-25', '--json')).json()
        expect(result.code).toBe(0)
        expect(result.data.series[0].missing).toEqual({ after_delisting: 5 * 1_440 })
        expect((await run('verify')).code).toBe(0)
      },
    ))
})
