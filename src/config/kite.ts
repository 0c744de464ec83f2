import { z } from 'zod'
import { isDay } from '../model/when.ts'

/** Fields that hold secrets; see `schema.ts`. */
const secret = { writeOnly: true } as const
const text = z.string().min(1)

const day = z.string().refine(isDay, { error: 'not a day', params: { hint: 'Write it as 1995-01-01.' } })

const intervals = [
  ...(['minute', '3minute', '5minute', '10minute', '15minute', '30minute', '60minute', 'day'] as const),
] as const

const cap = z.int().min(1).max(4_000).optional()

/** `sources.kite`: how the venue is reached. */
export const kiteSource = (httpUrl: z.ZodType<string, string>) =>
  z.strictObject({
    base_url: httpUrl.default('https://api.kite.trade').describe('REST address.'),
    login_url: httpUrl
      .default('https://kite.zerodha.com/connect/login')
      .describe('The page a person logs in at.'),
    api_key: text.meta(secret).optional().describe('Of your app; EVERYBAR_KITE_API_KEY sets it too.'),
    api_secret: text
      .meta(secret)
      .optional()
      .describe('Needed for "everybar kite login" only; EVERYBAR_KITE_API_SECRET sets it too.'),
    access_token: text
      .meta(secret)
      .optional()
      .describe('A token from elsewhere, instead of a login; EVERYBAR_KITE_ACCESS_TOKEN sets it too.'),
    token_file: text
      .optional()
      .describe('Where a login is kept, mode 600; ~/.config/everybar/kite-token.json unless set.'),
    day_caps: z
      .strictObject({
        ...{ minute: cap, '3minute': cap, '5minute': cap, '10minute': cap },
        ...{ '15minute': cap, '30minute': cap, '60minute': cap, day: cap },
      })
      .default({})
      .describe('Days one request may ask for, by interval, where the venue has changed them.'),
    calendar: z
      .strictObject({
        closed: z.array(day).default([]).describe('Days without trading that the calendar does not know.'),
        sessions: z
          .array(z.string())
          .default([])
          .describe('Days with other hours: 2026-11-08 18:00-19:00; without hours the usual ones.'),
      })
      .prefault({})
      .describe('What you know better than the session calendar of the Indian exchanges.'),
  })

const names = (example: string) => z.array(z.string().min(1)).describe(example)

const settings = z.strictObject({
  enabled: z.boolean().default(true).describe('false: everybar sync says so and leaves the venue alone.'),
  candle_interval: z.enum(intervals).default('day'),
  instrument_types: names('EQ, FUT, CE, PE.').default(['EQ']),
  exchanges: names('NSE, BSE, NFO …').default(['NSE', 'BSE']),
  segments: names('NSE, INDICES, NFO-FUT …; all unless set.').default([]),
  symbols: names('Symbols, * and ? match any; all unless set.').default([]),
  expiry_from: day.optional().describe('Derivatives that expire this day or later.'),
  expiry_to: day.optional().describe('Derivatives that expire this day or earlier.'),
  batch_size: z.int().min(1).max(100_000).default(100).describe('Instruments between two lines of progress.'),
  rate_limit: z
    .number()
    .gt(0)
    .lte(3)
    .default(3)
    .describe('Historical requests a second; the venue allows 3.'),
  max_retries: z.int().min(0).max(20).default(3).describe('Tries of one request after the first.'),
  retry_delay_seconds: z
    .number()
    .gt(0)
    .max(600)
    .default(1)
    .describe('Wait before the second; doubles each time.'),
  bootstrap_from_date: day
    .default('1995-01-01')
    .describe('Where history begins for an instrument with none.'),
  parallel_workers: z
    .int()
    .min(1)
    .max(64)
    .default(10)
    .describe(
      'Instruments worked on at once. They share one rate limit: more hide latency, and are no faster than it.',
    ),
})

/** `kite`: the daily import. */
export const kiteImport = settings.superRefine(({ expiry_from: from, expiry_to: to }, context) => {
  if (from === undefined || to === undefined || from <= to) return
  context.addIssue({
    code: 'custom',
    path: ['expiry_to'],
    message: `before expiry_from, ${from}`,
    params: { hint: 'Both days belong to the range: swap them.' },
  })
})
