import { afterEach, expect, test } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { fetchBars, sync, verify } from '../../src/index.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder } from '../run-cli.ts'
import { editedVenue } from '../support/edited-venue.ts'

const at = (text: string) => Date.parse(text)
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function venue(options: SimulatorOptions): Promise<Simulator> {
  const simulator = await startSimulator({
    seed: 3,
    weightLimit: 1e9,
    nowMs: at('2024-03-02T12:30:30Z'),
    ...options,
  })
  simulator.setNow(at('2024-03-02T12:30:30Z'), { held: true })
  cleanups.push(() => simulator.close())
  return simulator
}

const configOf = (root: string, url: string) =>
  configSchema.parse({
    root,
    sources: { binance: { base_url: url } },
    fetch: { attempts: 2, backoff_base_ms: 1, backoff_max_ms: 1 },
  })

test('the end of trading says nothing of the time after the venue was last asked', () =>
  inFolder(async (root) => {
    const delisted = { symbol: 'BTCUSDT', listedMs: at('2024-01-01'), delistedMs: at('2024-02-20') }
    const simulator = await venue({ symbols: [delisted] })
    const config = configOf(root, simulator.url)
    const series = 'binance:spot:BTCUSDT:5m'
    const first = await sync({ config, series, from: '2024-02-01', to: '2024-03-01' })
    expect(first.series[0]).toMatchObject({
      complete: true,
      missing: { after_delisting: expect.any(Number) },
    })
    await simulator.close()
    const second = await sync({ config, series, from: '2024-02-01', to: '2024-06-01' })
    expect(second.complete).toBe(false)
    expect((await verify({ config })).complete).toBe(false)
  }))

test('the first bar another address told is asked for again', () =>
  inFolder(async (root) => {
    const [late, early] = [
      await venue({ fromMs: at('2024-02-20T05:00Z') }),
      await venue({ fromMs: at('2023-06-01') }),
    ]
    const series = 'binance:spot:BTCUSDT:5m'
    await sync({ config: configOf(root, late.url), series, from: '2024-02-01' })
    const { complete, slices } = (
      await sync({ config: configOf(root, early.url), series, from: '2024-01-01' })
    ).series[0]!
    expect([complete, slices.fetched > 0]).toEqual([true, true])
    early.resetStats()
    await sync({ config: configOf(root, early.url), series, from: '2024-01-01' })
    expect(early.stats().klines.requests).toBe(0)
  }))

test('a first bar that an answer contradicts is none: nothing before it counts as not listed, and it is asked for again', () =>
  inFolder(async (root) => {
    const simulator = await venue({ fromMs: at('2024-02-01') })
    const wrong = at('2024-03-02T12:25Z')
    let lies = 1
    const { url, close } = await editedVenue(simulator.url, (rows, asked) =>
      asked.searchParams.get('startTime') === '1' && lies-- > 0
        ? [[wrong, ...rows[0]!.slice(1, 6), wrong + 59_999, ...rows[0]!.slice(7)]]
        : rows,
    )
    cleanups.push(close)
    const go = async () =>
      (
        await sync({
          config: configOf(root, url),
          series: 'binance:spot:BTCUSDT:1m',
          from: '2024-02-28',
          to: '2024-03-02T12:30Z',
        })
      ).series[0]!
    expect(await go()).toMatchObject({ complete: false, missing: { never_fetched: expect.any(Number) } })
    expect(await go()).toMatchObject({ complete: true, missing: {} })
  }))

test('a page that a venue caps is full, also when one of its rows cannot be used', async () => {
  const simulator = await venue({ fromMs: at('2023-12-01') })
  const startMs = at('2024-01-01')
  const bad = startMs + 1_200 * 60_000
  const { url, close } = await editedVenue(simulator.url, (rows) =>
    rows.slice(0, 500).map((row) => (row[0] === bad ? [row[0], null, ...row.slice(2)] : row)),
  )
  cleanups.push(close)
  const range = { startMs, endMs: startMs + 2_000 * 60_000 }
  const series = 'binance:spot:BTCUSDT:1m'
  const { totalPoints, findings } = await fetchBars({ config: configOf('/nowhere', url), series, range })
  expect([totalPoints, findings.map(({ kind }) => kind)]).toEqual([1_999, ['bad-number', 'missing']])
})
