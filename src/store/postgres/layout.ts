import type { NativeField, PriceField } from '../../model/bar.ts'
import type { Series } from '../../model/series.ts'
import type { PostgresSettings, TokenTableOptions } from './options.ts'

export type ValueType = 'float8' | 'int8' | 'timestamptz'

export interface KeyColumn {
  readonly name: string
  /** As the DDL writes it. */
  readonly type: string
  readonly value: (series: Series) => string
}

export interface ValueColumn {
  readonly name: string
  readonly field: PriceField | NativeField
  readonly type: ValueType
  readonly required: boolean
}

/** A table as data: what names a bar in it, what it holds, in the order of its columns. */
export interface TableLayout {
  readonly kind: 'bars' | 'tokens' | 'open'
  readonly schema: string
  readonly table: string
  readonly timeColumn: string
  /** What names the series, without the time. */
  readonly key: readonly KeyColumn[]
  /** The primary key, in order, the time among it. */
  readonly primaryKey: readonly string[]
  readonly values: readonly ValueColumn[]
  /** When the row was written, by the server's clock. */
  readonly stampColumn: string
  /** Whether a revision moves the stamp. */
  readonly restamp: boolean
  /** One ordinary table whatever the others are: few rows, each written over and over. */
  readonly ordinary?: true
  readonly indexes: readonly { readonly suffix: string; readonly using: string }[]
}

/** Bytewise collation: a key is compared by memcmp, and its order does not change with the server's locale. */
const keyText = 'text COLLATE "C"'

const prices: readonly ValueColumn[] = (['open', 'high', 'low', 'close'] as const).map((name) => ({
  name,
  field: name,
  type: 'float8',
  required: true,
}))

const native = (name: string, field: NativeField, type: ValueType): ValueColumn => ({
  name,
  field,
  type,
  required: false,
})

export function barsLayout({ schema, table }: PostgresSettings): TableLayout {
  return {
    kind: 'bars',
    schema,
    table,
    timeColumn: 'open_time',
    key: [
      { name: 'venue', type: keyText, value: ({ instrument }) => instrument.venue },
      { name: 'market', type: keyText, value: ({ instrument }) => instrument.market },
      { name: 'symbol', type: keyText, value: ({ instrument }) => instrument.symbol },
      { name: 'timeframe', type: keyText, value: ({ timeframe }) => timeframe },
      { name: 'price', type: keyText, value: ({ price }) => price },
    ],
    // The time stands as early as a series' own range of the index allows: an entry is told from its neighbour by its
    // third column instead of its sixth, and what stands before it has no fixed width and is slow to get at.
    primaryKey: ['symbol', 'timeframe', 'open_time', 'venue', 'market', 'price'],
    values: [
      ...prices,
      { name: 'volume', field: 'volume', type: 'float8', required: true },
      native('close_time', 'closeTimeMs', 'timestamptz'),
      native('quote_volume', 'quoteVolume', 'float8'),
      native('trades', 'trades', 'int8'),
      native('taker_buy_base_volume', 'takerBuyBaseVolume', 'float8'),
      native('taker_buy_quote_volume', 'takerBuyQuoteVolume', 'float8'),
      native('open_interest', 'openInterest', 'float8'),
    ],
    stampColumn: 'ingested_at',
    restamp: true,
    indexes: [{ suffix: 'open_time_idx', using: 'brin (open_time) WITH (pages_per_range = 32)' }],
  }
}

/** The open bar of each series, one row a series: the columns of `bars`, and when it was seen in place of when it was kept. */
export function openLayout(settings: PostgresSettings): TableLayout {
  const bars = barsLayout(settings)
  return {
    ...bars,
    kind: 'open',
    table: `${bars.table}_open`,
    primaryKey: bars.key.map(({ name }) => name),
    stampColumn: 'observed_at',
    ordinary: true,
    indexes: [],
  }
}

const tokenIntervals: Readonly<Record<string, string>> = {
  '1m': 'minute',
  '3m': '3minute',
  '5m': '5minute',
  '10m': '10minute',
  '15m': '15minute',
  '30m': '30minute',
  '1h': '60minute',
  '1d': 'day',
}

/** The table Kite's users have: its names, its widths, and no native columns. */
export function tokenLayout(schema: string, { name, token }: Required<TokenTableOptions>): TableLayout {
  return {
    kind: 'tokens',
    schema,
    table: name,
    timeColumn: 'date',
    key: [
      { name: 'instrument_token', type: 'varchar(50)', value: token },
      { name: 'exchange', type: 'varchar(10)', value: ({ instrument }) => instrument.market.toUpperCase() },
      {
        name: 'candle_interval',
        type: 'varchar(20)',
        value: ({ timeframe }) => tokenIntervals[timeframe] ?? timeframe,
      },
    ],
    primaryKey: ['instrument_token', 'exchange', 'date', 'candle_interval'],
    values: [...prices, { name: 'volume', field: 'volume', type: 'int8', required: true }],
    stampColumn: 'created_at',
    restamp: false,
    indexes: [
      { suffix: 'instrument_idx', using: 'btree (instrument_token, date DESC)' },
      { suffix: 'exchange_idx', using: 'btree (exchange, date DESC)' },
      { suffix: 'date_idx', using: 'btree (date DESC)' },
    ],
  }
}

/** The table a series is kept in. Mark and index prices, which a token table has no column for, go to `bars`. */
export function layoutOf(series: Series, settings: PostgresSettings): TableLayout {
  const { tokenTable, schema } = settings
  const byToken = tokenTable?.venues.includes(series.instrument.venue) === true && series.price === 'trade'
  return byToken ? tokenLayout(schema, tokenTable) : barsLayout(settings)
}
