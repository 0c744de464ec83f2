import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openInstrumentBook } from '../../src/ledger/sqlite/instrument-book.ts'
import type { InstrumentLine } from '../../src/model/instrument-line.ts'
import { inFolder } from '../run-cli.ts'

const line = (token: string, symbol: string, more: Partial<InstrumentLine> = {}): InstrumentLine => ({
  ...{ token, symbol, exchange: 'NSE', exchangeToken: '1', name: symbol, expiry: null, strike: 0 },
  ...{ tickSize: 0.05, lotSize: 1, type: 'EQ', segment: 'NSE' },
  ...more,
})
const day = (n: number, exchanges = ['NSE']) => ({ seenAtMs: n, exchanges })
const names = (of: readonly { readonly seriesSymbol: string }[]) => of.map(({ seriesSymbol }) => seriesSymbol)

describe('the book of instruments', () => {
  test('counts what is new, changed, the same, gone and back', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    expect(book.lastSeenMs('kite')).toBeUndefined()
    expect(book.update('kite', [line('1', 'A'), line('2', 'B')], day(1))).toMatchObject({
      listed: 2,
      added: 2,
    })
    const second = book.update('kite', [line('1', 'A', { lotSize: 5 }), line('3', 'C')], day(2))
    expect(second).toMatchObject({ added: 1, changed: 1, unchanged: 0, newOwners: [], newTokens: [] })
    expect(names(second.expired)).toEqual(['B'])
    const third = book.update(
      'kite',
      [line('1', 'A', { lotSize: 5 }), line('2', 'B'), line('3', 'C')],
      day(3),
    )
    expect(third).toMatchObject({ unchanged: 2, returned: 1, expired: [] })
    expect(
      book
        .list()
        .map(({ symbol, firstSeenMs, lastSeenMs, goneMs }) => [symbol, firstSeenMs, lastSeenMs, goneMs]),
    ).toEqual([
      ['A', 1, 3, null],
      ['B', 1, 3, null],
      ['C', 2, 3, null],
    ])
    expect(book.lastSeenMs('kite')).toBe(3)
  })

  test('a symbol with another token is a series of its own, and stays it', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    book.update('kite', [line('1', 'A')], day(1))
    const { newTokens } = book.update('kite', [line('9', 'A')], day(2))
    expect(newTokens).toEqual([{ exchange: 'NSE', symbol: 'A', from: '1', to: '9' }])
    expect(names(book.list())).toEqual(['A#9'])
    book.update('kite', [line('1', 'A')], day(3))
    expect(names(book.list())).toEqual(['A'])
    expect(names(book.list({ gone: 'only' }))).toEqual(['A#9'])
  })

  test('a token with another symbol has a key of its own', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    book.update('kite', [line('1', 'A')], day(1))
    const { newOwners } = book.update('kite', [line('1', 'B')], day(2))
    expect(newOwners).toEqual([{ token: '1', from: 'NSE A', to: 'NSE B' }])
    expect(
      book.list({ gone: 'also' }).map(({ seriesSymbol, tokenKey }) => `${seriesSymbol} ${tokenKey}`),
    ).toEqual(['A 1', 'B 1:B'])
  })

  test('a list of one exchange says nothing of another', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    book.update('kite', [line('1', 'A'), line('2', 'A', { exchange: 'BSE' })], day(1, ['NSE', 'BSE']))
    const { expired } = book.update('kite', [line('3', 'C')], day(2, ['NSE']))
    expect(names(expired)).toEqual(['A'])
    expect(book.list({ exchanges: ['bse'] })).toHaveLength(1)
  })

  test('a list cut short is refused, and changes nothing; accepted, it counts', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    const all = Array.from({ length: 50 }, (_, i) => line(String(i + 1), `S${i}`))
    book.update('kite', all, day(1))
    const short = () => book.update('kite', all.slice(0, 20), day(2))
    expect(short).toThrow(expect.objectContaining({ code: 'ledger.list-too-short' }))
    expect(book.list()).toHaveLength(50)
    expect(book.update('kite', all.slice(0, 20), { ...day(2), accept: true }).expired).toHaveLength(30)
  })

  test.each([
    ['a pattern', { symbols: ['NIFTY*'] }, ['NIFTY 50', 'NIFTY24MARFUT']],
    ['several, in either case', { symbols: ['tcs', 'm&?'] }, ['M&M', 'TCS']],
    ['brackets are letters', { symbols: ['[A]*'] }, ['[A]B']],
    ['an expiry', { expiryFrom: '2024-03-01', expiryTo: '2024-03-31' }, ['NIFTY24MARFUT']],
    ['a segment', { segments: ['indices'] }, ['NIFTY 50']],
    ['nothing that is there', { types: ['PE'] }, []],
  ])('filters by %s', (_name, filter, expected) => {
    const book = openInstrumentBook({ path: ':memory:' })
    const future = { exchange: 'NFO', type: 'FUT', segment: 'NFO-FUT', expiry: '2024-03-28' }
    book.update(
      'kite',
      [
        line('1', 'TCS'),
        line('2', 'M&M'),
        line('3', 'NIFTY 50', { segment: 'INDICES' }),
        line('4', 'NIFTY24MARFUT', future),
        line('5', '[A]B'),
        line('6', 'AB'),
      ],
      day(1, ['NSE', 'NFO']),
    )
    expect(names(book.list(filter)).sort()).toEqual(expected)
  })

  test('is kept in a file; without one it reads as empty; another program’s file is refused', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'deep', 'instruments.db')
      expect(openInstrumentBook({ path, readOnly: true }).list()).toEqual([])
      const book = openInstrumentBook({ path })
      book.update('kite', [line('1', 'A')], day(1))
      book[Symbol.dispose]()
      const again = openInstrumentBook({ path, readOnly: true })
      expect(names(again.list())).toEqual(['A'])
      again[Symbol.dispose]()
      const { DatabaseSync } = await import('node:sqlite')
      const other = join(folder, 'other.db')
      const db = new DatabaseSync(other)
      db.exec('CREATE TABLE x (y)')
      db.close()
      expect(() => openInstrumentBook({ path: other })).toThrow(
        expect.objectContaining({ code: 'ledger.corrupt' }),
      )
    })
  })

  test('a hundred thousand lines in a few seconds', () => {
    const book = openInstrumentBook({ path: ':memory:' })
    const all = Array.from({ length: 100_000 }, (_, i) => line(String(i + 1), `S${i}`))
    expect(book.update('kite', all, day(1)).added).toBe(100_000)
    expect(book.update('kite', all, day(2)).unchanged).toBe(100_000)
  })
})
