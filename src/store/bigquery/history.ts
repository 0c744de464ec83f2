import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type BarBatch, lowerBound, sliceBatch } from '../../model/bar.ts'
import { EverybarError } from '../../model/errors.ts'
import type { TimeRange } from '../../model/time.ts'
import { columnOf } from '../common/misfits.ts'
import type { Api, Ran } from './api.ts'
import { keyNames, loadedFields, type SeriesKey, valueColumns } from './columns.ts'
import type { Dml } from './dml.ts'
import type { BigQuerySettings, WriteParquet } from './options.ts'
import { mergeLoaded, revisedBars } from './statements.ts'

const DAY_MS = 86_400_000
/** BigQuery changes at most 4,000 partitions with one job, and a partition is a day. */
export const DAYS_PER_JOB = 3_900
const LOAD_ATTEMPTS = 5
/** A loaded table is dropped after its MERGE; one that a crash left goes by itself. */
const STAGED_MS = DAY_MS

export interface Loader {
  readonly api: Api
  readonly settings: BigQuerySettings
  readonly dml: Dml
  readonly writeParquet: WriteParquet
}

export interface Merged {
  readonly inserted: number
  readonly revised: number
  readonly revisedAtMs: readonly number[]
}

/** Parts of a batch that a single job may change: no part spans more days than `DAYS_PER_JOB`. */
export function partsByDays(batch: BarBatch, daysMax = DAYS_PER_JOB): BarBatch[] {
  const parts: BarBatch[] = []
  for (let from = 0; from < batch.length; ) {
    const firstDay = Math.floor(batch.openTimeMs[from]! / DAY_MS)
    const to = lowerBound(batch.openTimeMs, (firstDay + daysMax) * DAY_MS)
    parts.push(sliceBatch(batch, from, to))
    from = to
  }
  return parts
}

/** Loads a batch into a table of its own and merges that into the bars of the series. */
export async function loadAndMerge(
  loader: Loader,
  key: SeriesKey,
  batch: BarBatch,
  signal?: AbortSignal,
  replaces?: TimeRange,
): Promise<Merged> {
  const { api, settings, dml } = loader
  const staged = await stage(loader, key, batch, signal)
  const span = spanOf(batch, replaces)
  const stampMicros = dml.stamp()
  const merge = mergeLoaded(settings, staged, key, span, stampMicros, replaces)
  const ran = await dml.run(merge, signal)
  const revised = ran.updated ?? 0
  const inserted = ran.inserted ?? batch.length
  const revisedAtMs = revised > 0 ? await readTimes(loader, key, span, stampMicros, signal) : []
  await api.deleteTable(staged, signal)
  return { inserted, revised, revisedAtMs }
}

const spanOf = (batch: BarBatch, replaces?: TimeRange): TimeRange =>
  batch.length === 0
    ? replaces!
    : { startMs: batch.openTimeMs[0]!, endMs: batch.openTimeMs[batch.length - 1]! + 1 }

async function readTimes(
  { api, settings, dml }: Loader,
  key: SeriesKey,
  span: TimeRange,
  stampMicros: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const { sql, params } = revisedBars(settings, key, span, stampMicros)
  const ran: Ran = await api.query(sql, params, dml.jobId('read'), signal)
  const times: number[] = []
  for await (const page of api.rows(ran.jobId, signal)) for (const [at] of page) times.push(Number(at))
  return times
}

/**
 * The name of a table that holds the batch. Table and job are named by what they hold: a submission repeated after a
 * lost answer or a crash finds the job it made before instead of loading twice. A job found so may have loaded the
 * same bars for an earlier commit, whose table is dropped by now; then it takes a name that no job has had.
 */
async function stage(
  { api, settings, dml, writeParquet }: Loader,
  key: SeriesKey,
  batch: BarBatch,
  signal?: AbortSignal,
): Promise<string> {
  const digest = digestOf(settings, key, batch)
  const table = `${settings.table}_load_${digest}`
  for (let attempt = 0; attempt < LOAD_ATTEMPTS; attempt++) {
    await api.createTable(
      table,
      {
        schema: { fields: loadedFields.map((field) => ({ ...field })) },
        expirationTime: String(settings.nowMs() + STAGED_MS),
      },
      signal,
    )
    const jobId = attempt === 0 ? `everybar_load_${digest}` : dml.jobId(`load_${digest}`)
    const { duplicate } = await api
      .load(table, (path) => writeParquet(batch, path), loadedFields, jobId, signal)
      .catch(async (error: unknown) => {
        // A job of that name failed, then or now: the bytes are good, so another may not.
        if (attempt + 1 === LOAD_ATTEMPTS || (error as { reason?: unknown }).reason === undefined) throw error
        await api.waitAfter(error, attempt + 1, signal)
        return { duplicate: true }
      })
    if (!duplicate) return table
    const metadata = await api.tableMetadata(table, signal)
    if (Number(metadata?.numRows) === batch.length) return table
  }
  throw new EverybarError('store.failed', `${LOAD_ATTEMPTS} load jobs of one batch left no rows`, {
    recovery: 'retry',
    hint: 'Look at the load jobs of the project; the bars wait in the archive.',
  })
}

/** 32 hexadecimal characters that name the bars of a batch and where they go. */
function digestOf(settings: BigQuerySettings, key: SeriesKey, batch: BarBatch): string {
  const hash = blake2b.create({ dkLen: 16 })
  const names = keyNames.slice(1).map((name) => key[name as keyof SeriesKey])
  hash.update(utf8ToBytes(JSON.stringify([settings.dataset, settings.table, ...names])))
  for (const column of [batch.openTimeMs, ...valueColumns.map(({ field }) => columnOf(batch, field))]) {
    hash.update(utf8ToBytes(column ? '+' : '-'))
    if (column) hash.update(new Uint8Array(column.buffer, column.byteOffset, column.byteLength))
  }
  return bytesToHex(hash.digest())
}
