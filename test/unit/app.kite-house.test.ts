import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/app/house.ts'
import { instrumentBookPath, kiteRooms } from '../../src/app/kite-house.ts'
import { configSchema } from '../../src/config/schema.ts'
import { openInstrumentBook } from '../../src/ledger/sqlite/instrument-book.ts'
import { parseSeries } from '../../src/model/series.ts'
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
