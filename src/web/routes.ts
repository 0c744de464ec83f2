import type { Context } from 'hono'
import { Hono } from 'hono'
import { jobsOf, listGaps, statusOf } from '../app/inspect.ts'
import { type BarFormat, readBars } from '../app/read-bars.ts'
import type { Readiness } from '../app/readiness.ts'
import type { Service } from '../app/service.ts'
import { packageVersion } from '../app/version.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import type { EventFeed } from './event-feed.ts'
import { type GuardOptions, guard, isTrusted } from './guard.ts'
import { httpStatusOf, problemBody } from './problem.ts'
import { Query } from './query.ts'
import { Slots } from './slots.ts'
import { streamOf } from './stream.ts'

export interface RouteOptions extends GuardOptions {
  readonly service: Service
  readonly feed: EventFeed
  readonly readiness: () => Promise<Readiness>
  /** Whether the service is being stopped. */
  readonly stopping: () => boolean
}

const paths: ReadonlySet<string> = new Set([
  ...['/livez', '/readyz', '/metrics'],
  ...['status', 'gaps', 'bars', 'events'].map((name) => `/api/v1/${name}`),
])

/** Answers that read the ledger or the lake at once. */
const READS_AT_ONCE = 8

const mediaTypes: Readonly<Record<BarFormat, string>> = {
  json: 'application/json; charset=utf-8',
  csv: 'text/csv; charset=utf-8; header=present',
  arrow: 'application/vnd.apache.arrow.file',
}

/** Everything that is answered. Only reads; every refusal is `{error:{code,message,hint}}`. */
export function routes(options: RouteOptions): Hono {
  const { service, feed } = options
  const app = new Hono()
  const reads = new Slots(READS_AT_ONCE)
  const { counted, failed } = requestCounter(service)
  app.use(counted)
  app.use(guard(options))
  app.get('/livez', (context) => {
    query(context, [])
    const upMs = service.house.clock.nowMs() - service.state().startedAtMs
    return context.json({ alive: true, version: packageVersion(), upSeconds: Math.floor(upMs / 1_000) })
  })
  app.get('/readyz', async (context) => {
    query(context, [])
    const found = options.stopping() ? stopped : await options.readiness()
    const trusted = isTrusted(options, context.req.header('authorization'))
    return context.json(trusted ? found : withoutWords(found), found.ready ? 200 : 503)
  })
  app.get('/metrics', async (context) => {
    query(context, [])
    // Not one of the reads: who watches must not wait for who reads.
    return context.body(await service.metrics.text(), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    })
  })
  app.get('/api/v1/status', async (context) => {
    const given = query(context, ['series', 'limit', 'offset'])
    return context.json(await reads.run(() => statusAnswer(service, given)))
  })
  app.get('/api/v1/gaps', async (context) => {
    const given = query(context, ['series', 'from', 'to', 'limit'])
    return context.json(await reads.run(() => gapsAnswer(service, given)))
  })
  app.get('/api/v1/bars', (context) => barsAnswer(context, service, reads))
  app.get('/api/v1/events', (context) => eventsAnswer(context, feed))
  app.notFound((context) => refused(context, notFound(context.req.path)))
  app.onError((error, context) => {
    if (!isEverybarError(error)) failed(context, error)
    return refused(context, error)
  })
  return app
}

const query = (context: Context, known: readonly string[]): Query => new Query(context.req.url, known)

function refused(context: Context, error: unknown): Response {
  const waitMs = isEverybarError(error) ? error.retryAfterMs : undefined
  if (waitMs !== undefined) context.header('retry-after', String(Math.ceil(waitMs / 1_000)))
  return context.json(problemBody(error), httpStatusOf(error))
}

async function statusAnswer(service: Service, given: Query) {
  const { house, selection } = service
  const limit = given.limit('series')
  const offset = given.count('offset', { least: 0, most: 1e9, usual: 0 })
  const jobs = await jobsOf(house, await given.series(house))
  const series = []
  for (const job of jobs.slice(offset, offset + limit)) series.push(await statusOf(house, job, selection))
  const { live, ...state } = service.state()
  const { series: followed = [], ...cycles } = live ?? {}
  const total = jobs.length
  return { version: packageVersion(), ...state, live: live && { ...cycles, series: followed }, series, total }
}

async function gapsAnswer({ house }: Service, given: Query) {
  const limit = given.limit('gaps')
  const selection = { series: await given.series(house), ...given.ends() }
  const known = await house.ledger.series()
  const gaps = known.length === 0 ? [] : await listGaps(house, selection)
  return { gaps: gaps.slice(0, limit), total: gaps.length }
}

async function barsAnswer(context: Context, { house }: Service, reads: Slots): Promise<Response> {
  const given = query(context, ['series', 'from', 'to', 'format', 'limit'])
  const series = await given.oneSeries(house)
  const format = given.format()
  const limit = given.limit('bars')
  const range = await given.barRange(house, series, limit)
  const headers = { 'content-type': mediaTypes[format] }
  if (context.req.method === 'HEAD') return context.body(null, 200, headers)
  const onEnd = reads.take()
  const over = new AbortController()
  const pieces = readBars(house, { series, range, limit, format, signal: over.signal })
  return context.body(streamOf(pieces, { onEnd, abort: (why) => over.abort(why) }), 200, headers)
}

function eventsAnswer(context: Context, feed: EventFeed): Response {
  const level = query(context, ['level']).level()
  const last = context.req.header('last-event-id') ?? ''
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' }
  if (context.req.method === 'HEAD') return context.body(null, 200, headers)
  const afterId = /^\d{1,15}$/.test(last) ? Number(last) : undefined
  return context.body(feed.open({ level, afterId }), 200, headers)
}

const stopped: Readiness = {
  ready: false,
  checks: [{ name: 'running', ok: false, message: 'the service is being stopped' }],
}

/** For those without the token: what is wrong, not with what. */
const withoutWords = ({ ready, checks }: Readiness): Readiness => ({
  ready,
  checks: checks.map(({ name, ok }) => ({ name, ok })),
})

const notFound = (path: string): EverybarError =>
  new EverybarError('web.not-found', `there is nothing at ${path.slice(0, 100)}`, {
    recovery: 'abort',
    hint: `There are ${[...paths].join(', ')}.`,
  })

/** Counts what was answered, by route and never by what a client made up; and tells the log of what went wrong. */
function requestCounter({ metrics, house }: Service) {
  const requests = metrics.counter('everybar_http_requests_total', 'Requests answered, by route and status.')
  return {
    counted: async (context: Context, next: () => Promise<void>) => {
      await next()
      const route = paths.has(context.req.path) ? context.req.path : 'none'
      requests.add(1, { route, status: String(context.res.status) })
    },
    failed: (context: Context, error: unknown) => {
      const message = messageOf(error)
      house.onEvent({ event: 'http_error', level: 'error', path: context.req.path, message })
    },
  }
}
