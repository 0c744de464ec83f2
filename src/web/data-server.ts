import type { Selection } from '../app/api.ts'
import { type AppContext, refuseUnserved } from '../app/commands.ts'
import { systemClock } from '../app/house.ts'
import { contextOf, type SelectionOptions, selectionOf } from '../app/library-options.ts'
import { type Readiness, readinessOf } from '../app/readiness.ts'
import { type Service, type ServiceOptions, type ServiceReport, startService } from '../app/service.ts'
import type { RunRecord } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { EverybarEvent, OnEvent } from '../model/events.ts'
import { EventFeed } from './event-feed.ts'
import { type HttpServer, refuseOpenDoor, startHttp } from './http.ts'
import { routes } from './routes.ts'

export interface DataServerOptions extends SelectionOptions {
  /** Where it listens; `serve.host` of the configuration unless given: this machine alone. */
  readonly host?: string
  /** `serve.port` unless given; 0 takes any free port. */
  readonly port?: number
  /** What clients have to send as `Authorization: Bearer …`; `serve.token` unless given. */
  readonly token?: string
}

/** A running collector with its HTTP. */
export interface DataServer extends AsyncDisposable {
  /** `http://127.0.0.1:8080`. */
  readonly url: string
  readonly ready: () => Promise<Readiness>
  /** What was run so far, latest first: passes and jobs among it. */
  readonly runs: (limit?: number) => Promise<readonly RunRecord[]>
  /** Sends an event of the embedding program to whoever listens at /api/v1/events. */
  readonly publish: OnEvent
  /** Resolves when it has been closed; rejects where it ended by itself, for instance with the ledger. */
  readonly done: Promise<ServiceReport>
  /** Finishes what is under way, records it, ends every connection and closes the root. Repeating it is harmless. */
  readonly close: () => Promise<ServiceReport>
}

/**
 * Keeps series complete in this process, and answers for it over HTTP: follows each live, looks for gaps again and again,
 * runs the configured jobs. The options' `signal` stops it as `close` does.
 *
 * @throws EverybarError `series.none-named`, `serve.no-token`, `serve.port-in-use`, `serve.cannot-listen` (abort), what
 *   opening the root throws (`root.locked`).
 */
export async function startDataServer(options: DataServerOptions = {}): Promise<DataServer> {
  const context = contextOf(options)
  const { host, port, token } = options
  const serve = {
    ...context.config.serve,
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(token !== undefined && { token }),
  }
  const selection = await selectionOf(context, options)
  return runServer({ ...context, config: { ...context.config, serve } }, selection, { command: 'serve' })
}

/** Whether there is anything to keep: series to follow, or a job that fetches. */
export const isWatching = (
  { config }: Pick<AppContext, 'config'>,
  { series = [] }: Partial<Selection>,
): boolean => series.length > 0 || config.jobs.some(({ run }) => run === 'kite')

/** The same with everything read already. Listens first: a port that is taken is told before a venue is asked. */
export async function runServer(
  ctx: AppContext,
  selection: Partial<Selection>,
  options: ServiceOptions,
): Promise<DataServer> {
  const { host, port, hosts, token } = ctx.config.serve
  refuseOpenDoor({ host, token })
  if (!isWatching(ctx, selection)) throw nothingToKeep()
  const { series = [] } = selection
  await refuseUnserved(ctx, { series })
  const feed = new EventFeed({ nowMs: (ctx.clock ?? systemClock).nowMs })
  let answer: (request: Request) => Response | Promise<Response> = starting
  const http = await startHttp({ host, port, fetch: (request) => answer(request) })
  try {
    const onEvent = (event: EverybarEvent) => {
      ctx.onEvent(event)
      feed.publish(event)
    }
    const service = await startService({ ...ctx, onEvent }, { ...selection, series }, options)
    const readiness = readinessOf(service)
    let stops = false
    const stopping = () => stops || ctx.signal.aborted
    answer = routes({ host, hosts, token, service, feed, readiness, stopping }).fetch
    countClients(service, feed)
    service.house.onEvent({ event: 'serve_started', url: http.url, series: series.length })
    const done = untilClosed(service, feed, http)
    done.catch(() => {}) // thrown to whoever waits for it
    const close = () => {
      stops = true
      feed.close()
      service.stop(
        new EverybarError('serve.closed', 'the server was closed', { recovery: 'abort', hint: '' }),
      )
      return done
    }
    ctx.signal.addEventListener('abort', () => feed.close(), { once: true })
    return {
      url: http.url,
      ready: readiness,
      publish: feed.publish,
      runs: (limit) => service.house.ledger.runs(limit),
      done,
      close,
      [Symbol.asyncDispose]: async () => void (await close()),
    }
  } catch (error) {
    await http.close()
    throw error
  }
}

async function untilClosed(service: Service, feed: EventFeed, http: HttpServer): Promise<ServiceReport> {
  try {
    return await service.done
  } finally {
    feed.close()
    await http.close()
  }
}

function countClients({ metrics }: Service, feed: EventFeed): void {
  const clients = metrics.gauge('everybar_event_clients', 'Clients that listen to events.')
  const dropped = metrics.gauge(
    'everybar_event_clients_dropped',
    'Clients dropped because they were too slow.',
  )
  metrics.collect(() => {
    const stats = feed.stats()
    clients.set(stats.clients)
    dropped.set(stats.dropped)
  })
}

/** What is answered while the root is being opened. */
const starting = (): Response =>
  Response.json(
    { error: { code: 'web.starting', message: 'the root is being opened', hint: 'Ask again in a second.' } },
    { status: 503, headers: { 'retry-after': '1' } },
  )

const nothingToKeep = (): EverybarError =>
  new EverybarError('series.none-named', 'there is nothing to keep: no series, and no job that fetches', {
    recovery: 'abort',
    hint: 'Name a series, or list some under `series:` in everybar.yaml.',
  })
