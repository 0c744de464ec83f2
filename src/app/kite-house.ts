import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { SessionCalendar } from '../coverage/calendar.ts'
import { calendarOfMarket } from '../coverage/calendars.ts'
import { openInstrumentBook } from '../ledger/sqlite/instrument-book.ts'
import type { Clock } from '../model/events.ts'
import type { InstrumentEntry } from '../model/instrument-line.ts'
import type { Instrument, Series } from '../model/series.ts'
import { kiteSymbol } from '../source/kite/historical.ts'
import { defaultDayCaps, type KiteInterval } from '../source/kite/intervals.ts'
import { kiteSources } from '../source/kite/sources.ts'
import type { Source } from '../source/source.ts'
import { authorizationOf } from './kite-login.ts'

/** What a house needs to know of Kite. Nothing is read before it is asked for. */
export interface KiteRooms {
  readonly sources: readonly Source[]
  readonly calendarOf: (instrument: Instrument) => SessionCalendar | undefined
  /** What names a series in tables keyed by token. */
  readonly tokenKeyOf: (series: Series) => string
  /** A list was taken in: what is known of instruments is read anew. */
  readonly instrumentsChanged: () => void
}

export const instrumentBookPath = (root: string): string => join(root, '.everybar', 'instruments.db')

export function kiteRooms({ root, sources, kite }: Config, clock: Clock): KiteRooms {
  const config = sources.kite
  let listed: ReturnType<typeof listedIn> | undefined
  const book = () => (listed ??= listedIn(root))
  const { closed, sessions } = config.calendar
  const calendars = new Map<string, SessionCalendar | undefined>()
  return {
    sources: kiteSources({
      baseUrl: config.base_url,
      authorization: authorizationOf(config, clock.nowMs),
      tokenOf: (exchange, symbol) => {
        const entry = book().get(`${exchange}:${symbol}`)
        return entry?.goneMs === null ? entry.token : undefined
      },
      dayCaps: dayCapsOf(config.day_caps),
      ...(kite && { requestsPerSecond: kite.rate_limit }),
    }),
    calendarOf: ({ venue, market }) => {
      if (venue !== 'kite') return undefined
      if (!calendars.has(market)) calendars.set(market, calendarOfMarket(market, { closed, sessions }))
      return calendars.get(market)
    },
    tokenKeyOf: ({ instrument }) => {
      const { symbol, continuous } = kiteSymbol(instrument.symbol)
      const entry = book().get(`${instrument.market.toUpperCase()}:${symbol}`)
      if (!entry) return instrument.symbol
      // The days of a contract and those across contracts are two series of one token.
      return continuous ? `${entry.tokenKey}#continuous` : entry.tokenKey
    },
    instrumentsChanged: () => {
      listed = undefined
    },
  }
}

function dayCapsOf(given: Config['sources']['kite']['day_caps']) {
  const named = Object.entries(given).filter(([, days]) => days !== undefined)
  return { ...defaultDayCaps, ...(Object.fromEntries(named) as Partial<Record<KiteInterval, number>>) }
}

/** Every instrument the root knows, by exchange and name in series. */
function listedIn(root: string): ReadonlyMap<string, InstrumentEntry> {
  const book = openInstrumentBook({ path: instrumentBookPath(root), readOnly: true })
  try {
    const entries = book.list({ venue: 'kite', gone: 'also' })
    return new Map(entries.map((entry) => [`${entry.exchange}:${entry.seriesSymbol}`, entry]))
  } finally {
    book[Symbol.dispose]()
  }
}
