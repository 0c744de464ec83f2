import { z } from 'zod'
import { EverybarError, messageOf } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { parseTimeframe } from '../model/timeframe.ts'
import { isReversed, readWhen, whenHint } from '../model/when.ts'
import { kiteImport, kiteSource } from './kite.ts'

/** Fields that hold secrets carry JSON Schema's `writeOnly`; `redactConfig` never prints them. */
export const secret = { writeOnly: true } as const

const httpUrl = z
  .string()
  .refine(isPlainHttpUrl, {
    error: 'Give an http:// or https:// address without user name, password, query and fragment.',
  })
  .transform((url) => url.replace(/\/+$/, ''))

/** An origin with an optional path, and nothing that could carry a credential. */
function isPlainHttpUrl(text: string): boolean {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return false
  const url = new URL(text)
  return (
    url.hostname !== '' &&
    `${url.username}${url.password}${url.search}${url.hash}` === '' &&
    !/[?#@]/.test(text)
  )
}

// A year alone is a number to YAML, and cannot be meant as anything else here.
const when = z
  .union([z.int().min(1970).max(5137), z.string()])
  .transform(String)
  .refine((text) => readWhen(text) !== undefined, { error: 'not a time', params: { hint: whenHint } })

const milliseconds = (max: number) => z.int().min(1).max(max)

const word = z.string().regex(/^[a-z0-9][a-z0-9-]*$/, { error: 'Lower-case letters, digits and - only.' })
const text = z.string().min(1)

/** Text that a reader of the model takes; its own words when it does not. */
const readBy = (read: (text: string) => unknown) =>
  text.superRefine((value, context) => {
    try {
      read(value)
    } catch (error) {
      const hint = error instanceof EverybarError ? error.hint : undefined
      context.addIssue({ code: 'custom', message: messageOf(error), params: { hint } })
    }
  })

const timeframe = readBy(parseTimeframe)

// Also asked when an end was refused already; then there is nothing to compare.
const read = (text: unknown) => (typeof text === 'string' ? readWhen(text) : undefined)

const seriesObject = z
  .strictObject({
    venue: word.describe('The venue: binance.'),
    market: word.describe('The part of the venue that lists it: spot, um.'),
    symbol: z
      .union([text, z.array(text).min(1)])
      .describe('The symbol in the venue’s own spelling, or a list; * and ? match any symbol.'),
    timeframe: z
      .union([timeframe, z.array(timeframe).min(1)])
      .describe('Bar width, or a list: 1m, 1h, 1d, 1w, 1M.'),
    price: z.enum(['trade', 'mark', 'index']).default('trade').describe('Which price the bars are of.'),
    from: when.optional().describe('First instant wanted: 2017-08, -30d, listing.'),
    to: when.optional().describe('First instant not wanted: 2024, now.'),
  })
  .refine(({ from, to }) => !isReversed(read(from), read(to)), {
    path: ['from'],
    error: '`from` is not before `to`',
    params: { hint: 'The range holds its start and not its end; without `to` it ends now.' },
  })

export const seriesEntry = z.union([
  readBy(parseSeries).describe('venue:market:symbol:timeframe, for instance binance:spot:BTCUSDT:1m.'),
  seriesObject,
])

const archive = z.strictObject({
  compression: z
    .enum(['none', 'zstd'])
    .default('none')
    .describe('How answers are kept on disk. zstd saves about four fifths of the space.'),
})

const limits = z.strictObject({
  share: z
    .number()
    .gt(0)
    .lte(1)
    .default(1)
    .describe(
      'Part of the venue’s rate limit to use. Less than 1 leaves room for other programs on this address.',
    ),
})

const binance = z.strictObject({
  base_url: httpUrl.default('https://api.binance.com').describe('Spot REST address.'),
  futures_base_url: httpUrl
    .optional()
    .describe(
      'USD-M futures REST address; base_url where only that was changed, else https://fapi.binance.com.',
    ),
  limits: limits.prefault({}),
})

const fetch = z.strictObject({
  concurrency: z.int().min(1).max(256).default(16).describe('Requests in flight at most, per venue.'),
  attempts: z.int().min(1).max(100).default(6).describe('Tries of one request, the first included.'),
  backoff_base_ms: milliseconds(60_000)
    .default(500)
    .describe('Wait before the second try; doubles each time.'),
  backoff_max_ms: milliseconds(3_600_000).default(30_000).describe('Longest wait between two tries.'),
  ban_wait_max_ms: z
    .int()
    .min(0)
    .max(86_400_000)
    .default(300_000)
    .describe('A ban or Retry-After longer than this ends the run with exit code 5.'),
  connect_timeout_ms: milliseconds(600_000).default(10_000),
  headers_timeout_ms: milliseconds(600_000).default(30_000),
  body_timeout_ms: milliseconds(600_000).default(30_000),
  body_bytes_max: z.int().min(1024).max(1_073_741_824).default(67_108_864).describe('Largest answer read.'),
})

const postgres = z.strictObject({
  url: text
    .meta(secret)
    .optional()
    .describe('postgres://user:password@host:5432/database; or host and the rest.'),
  host: text.optional(),
  port: z.int().min(1).max(65_535).optional(),
  database: text.optional(),
  user: text.optional(),
  password: text.meta(secret).optional(),
  ssl: z.boolean().optional().describe('Encrypt, and check the server’s certificate.'),
  schema: text.optional().describe('Schema of the tables; it has to exist. public unless set.'),
  table: text.optional().describe('bars unless set.'),
  schema_mode: z
    .enum(['apply', 'check'])
    .optional()
    .describe('apply creates what is missing at the first commit; check only reports. apply unless set.'),
  timescale: z
    .enum(['auto', 'on', 'off'])
    .optional()
    .describe('Hypertable and columnstore. auto unless set.'),
  partitions: z.enum(['none', 'month']).optional().describe('Without TimescaleDB. none unless set.'),
  columnstore_after_days: z.int().min(0).max(36_500).optional().describe('0 for never. 90 unless set.'),
  connections: z.int().min(1).max(100).optional().describe('Connections at most. 4 unless set.'),
})

const bigquery = z.strictObject({
  project: text.describe('Credentials come from GOOGLE_APPLICATION_CREDENTIALS.'),
  dataset: text.optional().describe('crypto unless set.'),
  table: text.optional().describe('market_data_ohlcv unless set.'),
  location: text.optional().describe('US unless set.'),
  api_endpoint: httpUrl.optional().describe('Another address of the API; http: is sent no credentials.'),
  schema_mode: z.enum(['apply', 'check']).optional(),
})

const stores = z.strictObject({
  parquet: z
    .strictObject({
      enabled: z.boolean().default(true),
    })
    .prefault({})
    .describe('The lake under <root>/lake: one Parquet file per series and month.'),
  postgres: postgres.optional().describe('PostgreSQL, with TimescaleDB where it is installed.'),
  bigquery: bigquery.optional(),
})

/** The whole configuration. Unknown keys are refused everywhere. */
export const configSchema = z.strictObject({
  root: text
    .default('~/everybar_data')
    .describe('Folder of everything everybar keeps. ~ is your home; relative to this file.'),
  archive: archive.prefault({}).describe('Raw answers, kept for good.'),
  ledger: z
    .enum(['sqlite', 'manifest'])
    .default('sqlite')
    .describe('What keeps the status of every slice: one database, or one manifest.json per series.'),
  sources: z
    .strictObject({ binance: binance.prefault({}), kite: kiteSource(httpUrl).prefault({}) })
    .prefault({})
    .describe('Venues and how to reach them.'),
  series: z.array(seriesEntry).default([]).describe('Series to keep when a command names none.'),
  kite: kiteImport.optional().describe('What "everybar sync" imports from Kite when it names no series.'),
  stores: stores.prefault({}).describe('Where bars are written.'),
  fetch: fetch.prefault({}).describe('Requests, waits and limits of size.'),
})

/** What every command runs with: checked, whole, defaults filled in, never changed. */
export type Config = z.output<typeof configSchema>
export type SeriesEntry = z.output<typeof seriesEntry>
