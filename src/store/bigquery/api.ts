import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BigQuery, Job, Table, TableMetadata } from '@google-cloud/bigquery'
import { EverybarError } from '../../model/errors.ts'
import type { Field } from './columns.ts'
import { isMissing, isPassing, isThere, reasonOf, storeFailure } from './failures.ts'
import type { BigQuerySettings } from './options.ts'

export type Parameters = Readonly<Record<string, string | number>>

/** A statement that has run. */
export interface Ran {
  readonly jobId: string
  /** Rows a MERGE wrote; `undefined` where the server does not say. */
  readonly inserted: number | undefined
  readonly updated: number | undefined
  readonly deleted: number | undefined
}

/** A row `insertAll` refused, by its position in the request. */
export interface RefusedRow {
  readonly index: number
  readonly reason: string
  readonly message: string
}

export interface StreamedRow {
  readonly insertId: string
  readonly json: Readonly<Record<string, unknown>>
}

const PAGE_ROWS = 10_000
const POLL_MS_MAX = 2_000

/** Google's client, with our waits: every call is tried again while its failure passes, and stops when told to. */
export class Api {
  readonly #settings: BigQuerySettings
  #client: Promise<BigQuery> | undefined

  constructor(settings: BigQuerySettings) {
    this.#settings = settings
  }

  /**
   * Metadata of a table; `undefined` when it is not there.
   */
  tableMetadata(table: string, signal?: AbortSignal): Promise<TableMetadata | undefined> {
    return this.#call(
      async (client) => (await this.#table(client, table).getMetadata())[0] as TableMetadata,
      signal,
      {
        onMissing: () => undefined,
      },
    )
  }

  /** Whether it had to be made. */
  async ensureDataset(mayCreate: boolean, signal?: AbortSignal): Promise<boolean> {
    const { dataset, location } = this.#settings
    const there = await this.#call(
      async (client) => {
        await client.dataset(dataset).getMetadata()
        return true
      },
      signal,
      { onMissing: () => false },
    )
    if (there || !mayCreate) return !there
    await this.#call(async (client) => void (await client.createDataset(dataset, { location })), signal, {
      onThere: () => undefined,
    })
    return true
  }

  createTable(table: string, metadata: TableMetadata, signal?: AbortSignal): Promise<void> {
    return this.#call(
      async (client) => void (await client.dataset(this.#settings.dataset).createTable(table, metadata)),
      signal,
      { onThere: () => undefined },
    )
  }

  patchTable(table: string, metadata: TableMetadata, signal?: AbortSignal): Promise<void> {
    return this.#call(async (client) => void (await this.#table(client, table).setMetadata(metadata)), signal)
  }

  deleteTable(table: string, signal?: AbortSignal): Promise<void> {
    return this.#call(async (client) => void (await this.#table(client, table).delete()), signal, {
      onMissing: () => undefined,
    })
  }

  /**
   * Runs a statement to its end. The id is the caller's, so that a submission repeated finds the first. A job that failed
   * changed nothing; where its failure passes another is submitted, under an id of its own.
   */
  async query(sql: string, params: Parameters, jobId: string, signal?: AbortSignal): Promise<Ran> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#query(sql, params, attempt === 1 ? jobId : `${jobId}_${attempt}`, signal)
      } catch (error) {
        if (!(error instanceof JobFailure && isPassing(error))) throw error
        await this.waitAfter(error, attempt, signal)
      }
    }
  }

  async #query(sql: string, params: Parameters, jobId: string, signal?: AbortSignal): Promise<Ran> {
    const { location } = this.#settings
    await this.#call(
      async (client) =>
        void (await client
          .createQueryJob({ query: sql, params: { ...params }, jobId, location })
          .catch(unlessTaken)),
      signal,
      { onThere: () => undefined },
    )
    const metadata = await this.#finished(jobId, signal)
    const stats = metadata.statistics?.query?.dmlStats
    const count = (text: unknown) => (text === undefined || text === null ? undefined : Number(text))
    return {
      jobId,
      inserted: count(stats?.insertedRowCount),
      updated: count(stats?.updatedRowCount),
      deleted: count(stats?.deletedRowCount),
    }
  }

  /** Rows of a query that has run, a page at a time, as the API sends them: text, or null. */
  async *rows(jobId: string, signal?: AbortSignal): AsyncGenerator<readonly (string | null)[][]> {
    let pageToken: string | undefined
    do {
      const page = await this.#call(async (client) => {
        const [rows, next] = await this.#job(client, jobId).getQueryResults({
          autoPaginate: false,
          skipParsing: true,
          maxResults: PAGE_ROWS,
          ...(pageToken !== undefined && { pageToken }),
        })
        return { rows, next }
      }, signal)
      pageToken = (page.next as { pageToken?: string } | null)?.pageToken
      yield (page.rows as { f: { v: string | null }[] }[]).map(({ f }) => f.map(({ v }) => v))
    } while (pageToken !== undefined)
  }

  /** Submits a load job and waits for it. `duplicate` says that a job of that id had run before. */
  async load(
    table: string,
    write: (path: string) => Promise<void>,
    fields: readonly Field[],
    jobId: string,
    signal?: AbortSignal,
  ): Promise<{ readonly duplicate: boolean }> {
    const dir = await mkdtemp(join(tmpdir(), 'everybar-load-'))
    const path = join(dir, 'bars.parquet')
    try {
      await write(path)
      const duplicate = await this.#call(
        async (client) => {
          await this.#table(client, table).createLoadJob(path, {
            jobId,
            sourceFormat: 'PARQUET',
            writeDisposition: 'WRITE_TRUNCATE',
            createDisposition: 'CREATE_NEVER',
            schema: { fields: fields.map((field) => ({ ...field })) },
            location: this.#settings.location,
          })
          return false
        },
        signal,
        { onThere: () => true },
      )
      await this.#finished(jobId, signal)
      return { duplicate }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }

  /** Streams rows. Those it does not name were taken. A table just made may not be seen yet; that passes. */
  async insert(
    table: string,
    rows: readonly StreamedRow[],
    signal?: AbortSignal,
  ): Promise<readonly RefusedRow[]> {
    return this.#call(
      async (client) => {
        try {
          await this.#table(client, table).insert([...rows], {
            raw: true,
            skipInvalidRows: true,
            partialRetries: 0,
          })
          return []
        } catch (error) {
          return refusedRows(error)
        }
      },
      signal,
      { passes: isMissing },
    )
  }

  async #finished(jobId: string, signal?: AbortSignal) {
    for (let wait = 25; ; wait = Math.min(POLL_MS_MAX, wait * 2)) {
      const metadata = await this.#call(
        async (client) => (await this.#job(client, jobId).getMetadata())[0] as Job['metadata'],
        signal,
      )
      const { state, errorResult } = metadata.status ?? {}
      if (state === 'DONE' && errorResult) {
        throw new JobFailure(errorResult.message, errorResult.reason)
      }
      if (state === 'DONE') return metadata
      await sleep(wait, undefined, signal ? { signal } : {})
    }
  }

  #table = (client: BigQuery, table: string): Table => client.dataset(this.#settings.dataset).table(table)

  #job = (client: BigQuery, jobId: string): Job => client.job(jobId, { location: this.#settings.location })

  async #call<T, Other = never>(
    work: (client: BigQuery) => Promise<T>,
    signal?: AbortSignal,
    on: { onMissing?: () => Other; onThere?: () => Other; passes?: (error: unknown) => boolean } = {},
  ): Promise<T | Other> {
    for (let attempt = 1; ; attempt++) {
      if (signal?.aborted) throw signal.reason
      try {
        return await untilAborted(work(await this.#open()), signal)
      } catch (error) {
        signal?.throwIfAborted()
        if (on.onMissing && isMissing(error)) return on.onMissing()
        if (on.onThere && isThere(error)) return on.onThere()
        if (!isPassing(error) && on.passes?.(error) !== true) throw error
        await this.waitAfter(error, attempt, signal)
      }
    }
  }

  /** Says that `error` is tried again, and waits; throws it where it was tried often enough. */
  async waitAfter(error: unknown, attempt: number, signal?: AbortSignal): Promise<void> {
    const { attemptsMax, retryDelayMs, name, onEvent } = this.#settings
    if (attempt >= attemptsMax) throw error
    const reason = reasonOf(error) ?? 'network'
    onEvent({ event: 'store_retry', level: 'warn', store: name, attempt, reason })
    const wait = Math.min(32_000, retryDelayMs * 2 ** (attempt - 1))
    await sleep(wait * (0.75 + Math.random() / 2), undefined, signal ? { signal } : {})
  }

  #open(): Promise<BigQuery> {
    this.#client ??= loadClient(this.#settings)
    return this.#client.catch((error) => {
      this.#client = undefined
      throw error
    })
  }
}

/** What ended a job that BigQuery had taken. */
class JobFailure extends Error {
  readonly reason: string | undefined

  constructor(message: string | undefined, reason: string | undefined) {
    super(message)
    this.reason = reason
  }
}

async function loadClient({ project, location, apiEndpoint }: BigQuerySettings): Promise<BigQuery> {
  let driver: typeof import('@google-cloud/bigquery')
  try {
    driver = await import('@google-cloud/bigquery')
  } catch (cause) {
    throw new EverybarError('store.driver-missing', 'the BigQuery client is not installed', {
      recovery: 'abort',
      hint: 'Run: npm install @google-cloud/bigquery@9',
      cause,
    })
  }
  return new driver.BigQuery({
    projectId: project,
    location,
    autoRetry: false,
    ...(apiEndpoint !== undefined && { apiEndpoint }),
    ...(apiEndpoint?.startsWith('http:') && { authClient: noCredentials as unknown as AuthClient }),
  })
}

type AuthClient = NonNullable<ConstructorParameters<typeof BigQuery>[0]>['authClient'] & {}

/** A server without TLS is for tests: it is sent no token, and none is looked for. */
const noCredentials = { getRequestHeaders: async () => new Headers() }

/** The positions are only in the answer; the errors the library makes of it leave them out. */
function refusedRows(error: unknown): readonly RefusedRow[] {
  interface InsertError {
    readonly index: number
    readonly errors: readonly { readonly reason?: string; readonly message?: string }[]
  }
  const { response } = (error ?? {}) as { response?: { insertErrors?: readonly InsertError[] } }
  if (!response?.insertErrors) throw error
  return response.insertErrors.map(({ index, errors }) => ({
    index,
    reason: errors[0]?.reason ?? 'invalid',
    message: errors.map(({ message, reason }) => message || reason).join('; '),
  }))
}

/** The library throws, too, where BigQuery took a job and says that it has failed already. Its state tells how. */
function unlessTaken(error: unknown): void {
  const { response } = (error ?? {}) as { response?: { jobReference?: unknown } }
  if (!response?.jobReference) throw error
}

async function untilAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return work
  const stop = Promise.withResolvers<never>()
  const abort = () => stop.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, stop.promise])
  } finally {
    signal.removeEventListener('abort', abort)
    work.catch(() => {})
  }
}

/** Runs `work` and turns what it throws into a typed error, or the reason of the abort. */
export async function typed<T>(
  storeName: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw storeFailure(error, storeName)
  }
}
