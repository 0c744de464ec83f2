import { readWhen, type When } from '../model/when.ts'
import type { Config } from './schema.ts'

/** A selector of the configuration, still with its `*` and `?`, and the range it asks for. */
export interface ConfiguredSeries {
  readonly pattern: string
  readonly from?: When
  readonly to?: When
}

/** The configuration's series, one entry for every symbol and timeframe, in the order of the file. */
export function configuredSeries(config: Config): readonly ConfiguredSeries[] {
  return config.series.flatMap((entry): readonly ConfiguredSeries[] => {
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
  })
}

const list = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'string' ? [value] : value
