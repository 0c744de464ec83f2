import type { Readable, Writable } from 'node:stream'
import type { Client, Pool, PoolClient, PoolConfig, QueryResultRow } from 'pg'
import { EverybarError } from '../../model/errors.ts'
import { type OnEvent, silent } from '../../model/events.ts'
import { type Redact, redactor, storeFailure } from './failures.ts'
import type { PostgresStoreOptions } from './options.ts'

interface Drivers {
  readonly Pool: new (config: PoolConfig) => Pool
  readonly copyFrom: (sql: string) => Writable & { readonly rowCount: number }
  readonly copyTo: (sql: string) => Readable
}

/** One connection for the length of one piece of work. */
export interface Session {
  /** Rows of a statement; of several in one text, those of the last. */
  query<Row extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** The tag the server answers, `COMMIT` or `ROLLBACK`. */
  command(text: string): Promise<string>
  /** `rowCount` is what the server says it took, once the stream has finished. */
  copyIn(sql: string): Writable & { readonly rowCount: number }
  copyOut(sql: string): Readable
  /** From here on an abort no longer cuts the connection. */
  shield(): void
}

/** A connection on loan. */
export interface Loan {
  readonly session: Session
  /** What was thrown, as the error to throw on: the reason of the abort, or a typed one. */
  failure(error: unknown): unknown
  /** Gives it back; one that was not left `whole` is closed. */
  end(whole: boolean): void
}

/**
 * Loads `pg` and `pg-copy-streams`, which everybar does not install by itself.
 *
 * @throws EverybarError `store.driver-missing` (abort).
 */
async function loadDrivers(): Promise<Drivers> {
  try {
    const [pg, copy] = await Promise.all([import('pg'), import('pg-copy-streams')])
    const asStream = (query: unknown) => query
    return {
      Pool: pg.default.Pool,
      copyFrom: (sql) => asStream(copy.from(sql)) as Writable & { readonly rowCount: number },
      copyTo: (sql) => asStream(copy.to(sql)) as Readable,
    }
  } catch (cause) {
    throw new EverybarError('store.driver-missing', 'the PostgreSQL driver is not installed', {
      recovery: 'abort',
      hint: 'Run: npm install pg@8 pg-copy-streams@7',
      cause,
    })
  }
}

/** A pool of connections that turns whatever goes wrong into typed errors without secrets. */
export class Server {
  readonly #options: PostgresStoreOptions
  readonly #config: PoolConfig
  readonly #onEvent: OnEvent
  readonly redact: Redact
  #opened: Promise<{ pool: Pool; drivers: Drivers }> | undefined

  constructor(options: PostgresStoreOptions) {
    this.#options = options
    this.#onEvent = options.onEvent ?? silent
    this.#config = poolConfig(options)
    this.redact = redactor([options.url, options.password, passwordOf(options.url)])
  }

  /** Connects at the first use, and again after a failure. Rejects with the reason of `signal` when it aborts. */
  async run<T>(work: (session: Session) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const loan = await this.lend(signal)
    let whole = false
    try {
      const result = await work(loan.session)
      whole = true
      return result
    } catch (error) {
      throw loan.failure(error)
    } finally {
      loan.end(whole)
    }
  }

  /** A connection to give back with `end`. */
  async lend(signal?: AbortSignal): Promise<Loan> {
    signal?.throwIfAborted()
    const failure = (error: unknown): unknown =>
      signal?.aborted ? signal.reason : storeFailure(error, this.#options.name, this.redact)
    let client: PoolClient
    let drivers: Drivers
    try {
      const opened = await this.#open()
      drivers = opened.drivers
      client = await opened.pool.connect()
    } catch (error) {
      throw failure(error)
    }
    const cut = () => socketOf(client).destroy()
    const shield = () => signal?.removeEventListener('abort', cut)
    signal?.addEventListener('abort', cut, { once: true })
    if (signal?.aborted) cut()
    return {
      session: sessionOn(client, drivers, shield),
      failure,
      end(whole) {
        shield()
        // A connection that saw an error may be in the middle of anything: it is cheaper to make a new one.
        client.release(!whole)
      },
    }
  }

  #open(): Promise<{ pool: Pool; drivers: Drivers }> {
    this.#opened ??= loadDrivers().then((drivers) => {
      const pool = new drivers.Pool(this.#config)
      // Without listeners a connection the server closes would end the process.
      const lost = (error: Error) =>
        this.#onEvent({
          event: 'store_connection_lost',
          level: 'warn',
          store: this.#options.name,
          error: this.redact(error.message),
        })
      pool.on('error', lost)
      pool.on('connect', (client: Client) => client.on('error', () => {}))
      return { pool, drivers }
    })
    return this.#opened.catch((error) => {
      this.#opened = undefined
      throw error
    })
  }

  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    if (opened) await opened.then(({ pool }) => pool.end())
  }
}

function sessionOn(client: PoolClient, drivers: Drivers, shield: () => void): Session {
  type Submit = { query(stream: unknown): void }
  return {
    shield,
    async query<Row extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]> {
      const result: unknown = await (values ? client.query(text, [...values]) : client.query(text))
      const last = Array.isArray(result) ? result.at(-1) : result
      return (last as { rows: Row[] }).rows
    },
    async command(text) {
      return (await client.query(text)).command
    },
    copyIn(sql) {
      const stream = drivers.copyFrom(sql)
      ;(client as unknown as Submit).query(stream)
      return stream
    },
    copyOut(sql) {
      const stream = drivers.copyTo(sql)
      ;(client as unknown as Submit).query(stream)
      return stream
    },
  }
}

const socketOf = (client: PoolClient): { destroy(): void } =>
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream

function poolConfig(options: PostgresStoreOptions): PoolConfig {
  const { url, host, port, database, user, password, ssl } = options
  if (url !== undefined && !URL.canParse(url)) {
    throw new EverybarError('store.bad-option', `store ${options.name}: the url cannot be read`, {
      recovery: 'abort',
      hint: 'Write postgres://user:password@host:5432/database, with special characters percent-encoded.',
      path: 'url',
    })
  }
  return {
    ...(url !== undefined && { connectionString: url }),
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(database !== undefined && { database }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(ssl !== undefined && { ssl }),
    max: options.connectionsMax ?? 4,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: 'everybar',
    allowExitOnIdle: true,
  }
}

function passwordOf(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).password : undefined
}
