import { z } from 'zod'
import { isTimezone, scheduleFault } from './cron.ts'

/** Fields that hold secrets; see `schema.ts`. */
const secret = { writeOnly: true } as const

/** This machine's own addresses: nobody else can ask them. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)

const hostName = z
  .string()
  .regex(/^[A-Za-z0-9.:_[\]-]+$/, { error: 'A host name or address, without a port.' })

/** `serve`: who may ask a running everybar, and what it says. */
export const serve = z.strictObject({
  enabled: z.boolean().default(false).describe('Whether `live` answers HTTP as well; `serve` always does.'),
  host: hostName
    .default('127.0.0.1')
    .describe('Where it listens. Anything but this machine alone wants a token.'),
  port: z.int().min(0).max(65_535).default(8080).describe('0 takes any free port.'),
  token: z
    .string()
    .regex(/^[\x21-\x7e]{16,512}$/, { error: 'At least 16 characters, no blanks: openssl rand -hex 32.' })
    .meta(secret)
    .optional()
    .describe('What a client has to send: Authorization: Bearer …; EVERYBAR_TOKEN sets it too.'),
  hosts: z
    .array(hostName)
    .default([])
    .describe('Further names it may be asked by, where a proxy stands before it.'),
  overdue_max_seconds: z
    .int()
    .min(1)
    .max(31_536_000)
    .default(300)
    .describe('Not ready once the first missing bar of a series has been due for longer.'),
  completeness_seconds: z
    .int()
    .min(0)
    .max(604_800)
    .default(3_600)
    .describe('Between two passes that look for gaps and fill them; 0 for none.'),
  series_label: z
    .boolean()
    .default(false)
    .describe('A lag for each series among the metrics, not only the worst of each venue.'),
})

/** `jobs`: what is run by the clock while `serve` runs. */
export const jobs = z
  .array(
    z.strictObject({
      name: z
        .string()
        .regex(/^[a-z0-9][a-z0-9-]{0,63}$/, { error: 'Lower-case letters, digits and - only.' }),
      schedule: z
        .string()
        .superRefine((schedule, context) => {
          const fault = scheduleFault(schedule)
          if (fault === undefined) return
          const hint = 'Write minute, hour, day, month and weekday: "0 18 * * 1-5".'
          context.addIssue({ code: 'custom', message: fault, params: { hint } })
        })
        .describe('Cron, five fields: "0 18 * * 1-5" is at six in the evening from Monday to Friday.'),
      timezone: z
        .string()
        .refine(isTimezone, {
          error: 'not a time zone',
          params: { hint: 'Use a name of the IANA database: UTC, Asia/Kolkata, Europe/Berlin.' },
        })
        .default('UTC')
        .describe('Whose clock the schedule means.'),
      run: z
        .enum(['sync', 'kite', 'verify', 'compact'])
        .describe('sync: the configured series; kite: the import of the `kite` block; verify; compact.'),
    }),
  )
  .superRefine((all, context) => {
    all.forEach(({ name }, i) => {
      if (all.findIndex((one) => one.name === name) === i) return
      const hint = 'Each job has a name of its own.'
      context.addIssue({ code: 'custom', message: 'used before', path: [i, 'name'], params: { hint } })
    })
  })
