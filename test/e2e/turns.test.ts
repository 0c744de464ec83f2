import { expect, onTestFinished, test } from 'vitest'
import { openHouse } from '../../src/app/house.ts'
import { syncAll } from '../../src/app/sync.ts'
import { loadConfig } from '../../src/config/load.ts'
import { type EverybarEvent, parseSeries, startSimulator } from '../../src/index.ts'
import { SeriesTurns } from '../../src/pipeline/turns.ts'
import { inFolder } from '../run-cli.ts'

const NOW = Date.UTC(2024, 2, 1)
const BTC = 'binance:spot:BTCUSDT:1m'

test('a long sync gives way to whoever waits for its series, and goes on until all of it is there', async () => {
  const venue = await startSimulator({ seed: 7, nowMs: NOW, weightLimit: 1e9, rttMs: 5 })
  onTestFinished(() => venue.close())
  venue.setNow(NOW, { held: true })
  await inFolder(async (root) => {
    const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__FETCH__CONCURRENCY: '2' }
    const { config } = loadConfig({ cwd: root, home: root, env, flags: { root } })
    const turns = new SeriesTurns()
    const events: EverybarEvent[] = []
    const waited: number[] = []
    const others: Promise<void>[] = []
    const pages = () => events.filter(({ event }) => event === 'history_page_done').length
    await using opened = await openHouse({
      config,
      access: 'write',
      command: 'sync',
      onEvent: (event) => {
        events.push(event)
        if (event.event !== 'history_page_done' || others.length === 2) return
        others.push(turns.run(BTC, async () => void waited.push(pages())))
      },
    })
    const slices = 58
    const sliceMs = 1_000 * 60_000
    const startMs = Math.floor(NOW / sliceMs) * sliceMs - (slices - 1) * sliceMs
    const from = { kind: 'at', ms: startMs } as const
    const selection = { series: [parseSeries(BTC)], from }
    const report = await syncAll({ ...opened, turns }, selection, new AbortController().signal)
    await Promise.all(others)

    const [one] = report.series
    expect(report.complete).toBe(true)
    expect(one!.bars.inserted).toBe((one!.range!.endMs - startMs) / 60_000)
    expect(one!.slices).toMatchObject({ planned: slices, fetched: slices, replayed: 0, failed: 0 })
    expect(pages()).toBe(slices)
    expect(waited).toHaveLength(2)
    for (const seen of waited) expect(seen).toBeLessThan(slices)
    expect(events.filter(({ event }) => event === 'history_complete')).toHaveLength(1)
    expect(events.filter(({ event }) => event === 'history_incomplete')).toEqual([])
  })
})
