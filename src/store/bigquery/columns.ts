import type { NativeField, PriceField } from '../../model/bar.ts'
import type { Series } from '../../model/series.ts'

export type FieldType = 'TIMESTAMP' | 'STRING' | 'FLOAT' | 'INTEGER'

export interface Field {
  readonly name: string
  readonly type: FieldType
  readonly mode: 'REQUIRED' | 'NULLABLE'
}

export interface ValueColumn {
  readonly name: string
  readonly field: PriceField | NativeField
  readonly type: FieldType
  readonly required: boolean
  /** Its name in the loaded file, where times are epoch milliseconds. */
  readonly loaded: string
}

const value = (
  name: string,
  field: PriceField | NativeField,
  type: FieldType,
  required: boolean,
): ValueColumn => ({
  name,
  field,
  type,
  required,
  loaded: type === 'TIMESTAMP' ? `${name}_ms` : name,
})

/** What a bar holds, beside its key, in the order of the columns. */
export const valueColumns: readonly ValueColumn[] = [
  value('open', 'open', 'FLOAT', true),
  value('high', 'high', 'FLOAT', true),
  value('low', 'low', 'FLOAT', true),
  value('close', 'close', 'FLOAT', true),
  value('volume', 'volume', 'FLOAT', true),
  value('close_time', 'closeTimeMs', 'TIMESTAMP', false),
  value('quote_volume', 'quoteVolume', 'FLOAT', false),
  value('trades', 'trades', 'INTEGER', false),
  value('taker_buy_base_volume', 'takerBuyBaseVolume', 'FLOAT', false),
  value('taker_buy_quote_volume', 'takerBuyQuoteVolume', 'FLOAT', false),
  value('open_interest', 'openInterest', 'FLOAT', false),
]

export const wholeColumns = valueColumns.filter(({ type }) => type === 'INTEGER')

/** What names a bar. */
export const keyNames = ['timestamp', 'exchange', 'symbol', 'timeframe'] as const

/**
 * The columns of the table. Nothing is required, not even the key: a column can be added to a table that is there only
 * if it is nullable, and so old and new tables stay alike.
 */
export const tableFields: readonly Field[] = [
  { name: 'timestamp', type: 'TIMESTAMP', mode: 'NULLABLE' },
  { name: 'exchange', type: 'STRING', mode: 'NULLABLE' },
  { name: 'symbol', type: 'STRING', mode: 'NULLABLE' },
  { name: 'timeframe', type: 'STRING', mode: 'NULLABLE' },
  ...valueColumns.map(({ name, type }): Field => ({ name, type, mode: 'NULLABLE' })),
  { name: 'ingested_at', type: 'TIMESTAMP', mode: 'NULLABLE' },
]

/** The columns of a loaded file. Times are integers: a file's idea of a time zone cannot come between. */
export const loadedFields: readonly Field[] = [
  { name: 'open_time_ms', type: 'INTEGER', mode: 'NULLABLE' },
  ...valueColumns.map(({ loaded, type }): Field => {
    return { name: loaded, type: type === 'TIMESTAMP' ? 'INTEGER' : type, mode: 'NULLABLE' }
  }),
]

export interface SeriesKey {
  readonly exchange: string
  readonly symbol: string
  readonly timeframe: string
}

/**
 * A series as the table names it. `exchange` is the venue alone for trades on its spot market; other markets and kinds
 * of price are spelled out, so that two series never share a name: `binance`, `binance:um`, `binance:um@mark`.
 */
export function keyOf({ instrument, timeframe, price }: Series): SeriesKey {
  const market = instrument.market === 'spot' ? '' : `:${instrument.market}`
  const kind = price === 'trade' ? '' : `@${price}`
  return { exchange: `${instrument.venue}${market}${kind}`, symbol: instrument.symbol, timeframe }
}
