import { describe, expect, test } from 'vitest'
import { openHouse, shareOf, systemClock } from '../../src/app/house.ts'
import { instrumentBookPath, kiteRooms } from '../../src/app/kite-house.ts'
import { syncInstrumentsInto } from '../../src/app/kite-instruments.ts'
import { configSchema } from '../../src/config/schema.ts'
import { openInstrumentBook } from '../../src/ledger/sqlite/instrument-book.ts'
import { parseSeries } from '../../src/model/series.ts'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { KITE_BUCKET } from '../../src/source/kite/sources.ts'
import { inFolder } from '../run-cli.ts'

const future = {
  ...{ token: '13368834', exchangeToken: '1', symbol: 'NIFTY24JANFUT', name: 'NIFTY', expiry: '2024-01-25' },
  ...{ strike: 0, tickSize: 0.05, lotSize: 50, type: 'FUT', segment: 'NFO-FUT', exchange: 'NFO' },
}

describe('the rows of a series in tables keyed by token', () => {
  test.each([
    ['a contract', 'kite:nfo:NIFTY24JANFUT:1d', '13368834'],
    [
      'the days across contracts, which have the same token',
      'kite:nfo:NIFTY24JANFUT#continuous:1d',
      '13368834#continuous',
    ],
    ['an instrument of no list', 'kite:nfo:OTHER#continuous:1d', 'OTHER#continuous'],
  ])('%s', async (_name, selector, key) => {
    await inFolder((root) => {
      const book = openInstrumentBook({ path: instrumentBookPath(root) })
      book.update('kite', [future], { seenAtMs: 1, exchanges: ['NFO'] })
      book[Symbol.dispose]()
      const { tokenKeyOf } = kiteRooms(configSchema.parse({ root }), systemClock)
      expect(tokenKeyOf(parseSeries(selector))).toBe(key)
    })
  })
})

describe('the rate', () => {
  test.each([
    ['binance.spot', 0.5],
    ['binance.um', 0.5],
    ['kraken.ccxt', 0.25],
    ['binance.ccxt', 0.25],
    ['kite.historical', 1],
  ])('of %s is cut by its own share alone: %d', (bucket, share) => {
    const given = { binance: { limits: { share: 0.5 } }, ccxt: { limits: { share: 0.25 } } }
    expect(shareOf(configSchema.parse({ sources: given }))(bucket)).toBe(share)
  })

  test('stays as configured when a list of instruments is taken in, whatever Binance’s share', async () => {
    const venue = await startKiteSimulator({ instruments: 1 })
    try {
      await inFolder(async (root) => {
        const config = configSchema.parse({
          root,
          kite: { rate_limit: 2 },
          sources: {
            kite: { base_url: venue.url, api_key: venue.apiKey, access_token: venue.accessToken() },
            binance: { limits: { share: 0.34 } },
          },
        })
        await using house = await openHouse({ config, access: 'write', command: 'test', onEvent: () => {} })
        await syncInstrumentsInto(house, {}, new AbortController().signal)
        expect(house.fetcher.usage()).toMatchObject([{ bucket: KITE_BUCKET, capacity: 2, windowMs: 1_000 }])
        const url = `${venue.url}/instruments`
        const authorization = `token ${venue.apiKey}:${venue.accessToken()}`
        const request = { url, headers: { authorization }, bucket: KITE_BUCKET, weight: 1 }
        const since = performance.now()
        for (let i = 0; i < 2; i++) await house.fetcher.fetch(request)
        // The list was the first of two in its second; at a third of that the two would take two seconds.
        expect(performance.now() - since).toBeLessThan(1_900)
      })
    } finally {
      await venue.close()
    }
  })
})
