import { z } from 'zod'
import { EverybarError, messageOf } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { parseTimeframe } from '../model/timeframe.ts'
import { isReversed, readWhen, whenHint } from '../model/when.ts'
import { kiteImport, kiteSource } from './kite.ts'
import { jobs, serve } from './serve.ts'

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
const interval = text.regex(
  /^[1-9]\d{0,4} (minute|hour|day|week|month|year)s?$/,
  'is no interval like "1 hour" or "15 minutes"',
)

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

const ccxt = z.strictObject({
  base_url: httpUrl
    .optional()
    .describe(
      'One address in place of every venue’s own host: a simulator, or a proxy. Paths stay the venue’s.',
    ),
  venues: z
    .record(word, z.strictObject({ base_url: httpUrl.describe('In place of the venue’s own host.') }))
    .default({})
    .describe('Single venues, by ccxt’s name: kraken, coinbase, okx.'),
  beyond_reach: z
    .enum(['incomplete', 'absent'])
    .default('incomplete')
    .describe(
      'Bars older than a venue gives any more (Kraken: its latest 720): not complete, or absent at the source and settled with that.',
    ),
  limits: limits.prefault({}),
})

const fetch = z.strictObject({
  concurrency: z.int().min(1).max(256).default(16).describe('Requests in flight at most, per venue.'),
  attempts: z.int().min(1).max(100).default(5).describe('Tries of one request, the first included.'),
  backoff_base_ms: milliseconds(60_000)
    .default(1_000)
    .describe('Longest wait before the second try: how much of it is waited is drawn.'),
  backoff_factor: z.number().min(1).max(10).default(2).describe('What the wait grows by with each try.'),
  backoff_max_ms: milliseconds(3_600_000).default(32_000).describe('Longest wait between two tries.'),
  rate_limit_base_ms: milliseconds(600_000)
    .default(2_000)
    .describe('Wait after a 429 that names none; doubles with each in a row.'),
  rate_limit_max_ms: milliseconds(3_600_000).default(30_000).describe('Longest such wait.'),
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

const settings = z.strictObject({
  update_interval_seconds: z
    .number()
    .min(1)
    .max(86_400)
    .optional()
    .describe('How often `live` looks for closed bars; at every timeframe boundary unless set.'),
  history_page_limit: z
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('Bars asked for in one request, at most. The range is fetched to its end all the same.'),
  backoff_base: z.number().gt(0).max(60).optional().describe('Seconds; wins over fetch.backoff_base_ms.'),
  backoff_factor: z.number().min(1).max(10).optional().describe('Wins over fetch.backoff_factor.'),
  backoff_max: z.number().gt(0).max(3_600).optional().describe('Seconds; wins over fetch.backoff_max_ms.'),
  backoff_attempts: z.int().min(1).max(100).optional().describe('Wins over fetch.attempts.'),
})

const exchanges = z.record(
  word,
  z.array(
    z.strictObject({
      symbol: text.describe('BTC/USDT, BTC/USDT:USDT, or the venue’s own spelling.'),
      timeframes: z.array(timeframe).min(1).describe('Bar widths: [1m, 1h].'),
      market: word.optional().describe('spot unless set, or swap where the symbol names what it settles in.'),
    }),
  ),
)

const loki = z.strictObject({
  url: httpUrl.describe('Where Loki listens; /loki/api/v1/push is added where the path is missing.'),
  username: text.optional(),
  password: text.meta(secret).optional(),
  tenant: text.optional().describe('X-Scope-OrgID, where Loki has tenants.'),
  labels: z
    .array(z.enum(['timeframe', 'symbol']))
    .default([])
    .describe('More labels. Each value makes streams of its own: symbols soon exceed what Loki allows.'),
  queue_max: z
    .int()
    .min(100)
    .max(1_000_000)
    .default(10_000)
    .describe('Lines kept while Loki is away; the oldest go first, and are counted.'),
})

const logs = z.strictObject({
  service_name: text.default('everybar'),
  environment: text.default('production'),
  level: z.enum(['debug', 'info', 'warn', 'error']).default('debug').describe('Of what is sent to Loki.'),
  loki: loki.optional().describe('Send log lines to Grafana Loki as well. LOKI_URL alone switches it on.'),
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
  provisional: z
    .boolean()
    .optional()
    .describe('Keep the open bar of each followed series in <table>_open. false unless set.'),
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
  aggregates: z
    .array(
      z.strictObject({
        name: text.describe('Of the view, in the schema of the table: bars_1h.'),
        base: timeframe.describe('Made from bars of this width: 1m.'),
        width: interval.describe('An interval as PostgreSQL writes it: 1 hour.'),
      }),
    )
    .optional()
    .describe('Continuous aggregates, made with the table where TimescaleDB is installed.'),
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
export const configSchema = z
  .strictObject({
    root: text
      .default('~/everybar_data')
      .describe('Folder of everything everybar keeps. ~ is your home; relative to this file.'),
    archive: archive.prefault({}).describe('Raw answers, kept for good.'),
    ledger: z
      .enum(['sqlite', 'manifest'])
      .default('sqlite')
      .describe('What keeps the status of every slice: one database, or one manifest.json per series.'),
    sources: z
      .strictObject({
        binance: binance.prefault({}),
        kite: kiteSource(httpUrl).prefault({}),
        ccxt: ccxt.prefault({}),
      })
      .prefault({})
      .describe('Venues and how to reach them.'),
    series: z.array(seriesEntry).default([]).describe('Series to keep when a command names none.'),
    kite: kiteImport.optional().describe('What "everybar sync" imports from Kite when it names no series.'),
    exchanges: exchanges
      .default({})
      .describe('Series by exchange, beside `series`: `kraken: [{ symbol: BTC/USD, timeframes: [1h] }]`.'),
    settings: settings.prefault({}).describe('A collector’s few settings under their usual names.'),
    logs: logs.prefault({}).describe('Where log lines go, and what they say of this process.'),
    stores: stores.prefault({}).describe('Where bars are written.'),
    fetch: fetch.prefault({}).describe('Requests, waits and limits of size.'),
    serve: serve.prefault({}).describe('HTTP: health, metrics and bars of a running `serve`.'),
    jobs: jobs.default([]).describe('What `serve` runs by the clock.'),
  })
  .superRefine(({ jobs: all, kite }, context) => {
    for (const [i, { run }] of all.entries()) {
      if (run !== 'kite' || kite) continue
      const hint = 'Add a `kite` block: it says what is imported.'
      context.addIssue({
        code: 'custom',
        message: 'there is nothing to import',
        path: ['jobs', i, 'run'],
        params: { hint },
      })
    }
  })

/** What every command runs with: checked, whole, defaults filled in, never changed. */
export type Config = z.output<typeof configSchema>
export type SeriesEntry = z.output<typeof seriesEntry>
