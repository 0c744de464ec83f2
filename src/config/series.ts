import { readWhen, type When } from '../model/when.ts'
import type { Config, SeriesEntry } from './schema.ts'

/** A selector of the configuration, still with its `*` and `?`, and the range it asks for. */
export interface ConfiguredSeries {
  readonly pattern: string
  readonly from?: When
  readonly to?: When
}

/** The configuration's series, one entry for every symbol and timeframe, in the order of the file. */
export function configuredSeries(config: Config): readonly ConfiguredSeries[] {
  return [...config.series.flatMap(seriesOf), ...inExchanges(config)]
}

function seriesOf(entry: SeriesEntry): readonly ConfiguredSeries[] {
  if (typeof entry === 'string') return [{ pattern: entry }]
  const from = entry.from === undefined ? undefined : readWhen(entry.from)
  const to = entry.to === undefined ? undefined : readWhen(entry.to)
  const ends = { ...(from && { from }), ...(to && { to }) }
  const price = entry.price === 'trade' ? '' : `@${entry.price}`
  return list(entry.symbol).flatMap((symbol) =>
    list(entry.timeframe).map((timeframe) => ({
      pattern: `${entry.venue}:${entry.market}:${symbol}:${timeframe}${price}`,
      ...ends,
    })),
  )
}

/** A symbol that names what it settles in is a future or a swap. */
const inExchanges = ({ exchanges }: Config): readonly ConfiguredSeries[] =>
  Object.entries(exchanges).flatMap(([venue, entries]) =>
    entries.flatMap(({ symbol, timeframes, market = symbol.includes(':') ? 'swap' : 'spot' }) =>
      timeframes.map((timeframe) => ({ pattern: `${venue}:${market}:${symbol}:${timeframe}` })),
    ),
  )

const list = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'string' ? [value] : value
