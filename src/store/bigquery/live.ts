import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type BarBatch, emptyBatch } from '../../model/bar.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import { columnOf } from '../common/misfits.ts'
import type { SetAsideBar } from '../store.ts'
import type { Api, StreamedRow } from './api.ts'
import { type SeriesKey, valueColumns } from './columns.ts'
import type { Dml } from './dml.ts'
import { ensureLiveTable } from './ensure.ts'
import { KnownBars } from './known-bars.ts'
import type { BigQuerySettings } from './options.ts'
import { mergeLive, pendingLive, streamedTimes } from './statements.ts'

/** What one request may hold: 500 rows are recommended, 10 MB is the limit. */
const ROWS_MAX = 500
const BYTES_MAX = 9_000_000
/** Refusals that are no fault of the row. */
const innocent = new Set(['stopped', 'timeout', 'backendError', 'internalError'])
const RESENDS_MAX = 4

/** Streamed rows may be seen late: a merge looks back so far behind the last. */
const OVERLAP_MICROS = 10 * 60 * 1_000_000
/** The label that says how far streamed bars are merged, in microseconds. */
const MERGED_LABEL = 'everybar_merged'

/** Series are looked up together where their bars lie within so long. */
const TOGETHER_MS = 86_400_000

/** Reads the bars of several series in a short range, streamed ones among them. */
export type ReadBars = (
  keys: readonly SeriesKey[],
  span: TimeRange,
  signal?: AbortSignal,
) => Promise<{
  /** By the JSON of their key. */
  readonly bars: ReadonlyMap<string, BarBatch>
  /** The latest `ingested_at` of them, in microseconds; 0 for none. */
  readonly lastMicros: number
}>

/** Bars of one series, as the table names it. Not empty. */
export interface KeyedBars {
  readonly key: SeriesKey
  readonly batch: BarBatch
}

interface Unsure {
  readonly key: SeriesKey
  readonly rows: readonly LiveRow[]
  readonly span: TimeRange
}

export interface Streamed {
  readonly inserted: number
  readonly revised: number
  readonly revisedAtMs: readonly number[]
  readonly setAside: readonly SetAsideBar[]
}

/**
 * Bars that come one by one. They are streamed into a table of their own, because a table that rows were just streamed
 * into takes no MERGE, and merged from there now and then. Until then `since` tells readers what to add.
 */
export class LiveTable {
  readonly #api: Api
  readonly #settings: BigQuerySettings
  readonly #dml: Dml
  #ready: Promise<void> | undefined
  /** Whether the table is known to be there. */
  #there = false
  #mergedMicros = 0
  #nextMergeMs = 0
  #streamed = false
  readonly #read: ReadBars
  readonly #known = new KnownBars()
  /** By series: the last bar that was looked up or streamed. What opens later is new. */
  readonly #knownUpToMs = new Map<string, EpochMs>()

  constructor(api: Api, settings: BigQuerySettings, dml: Dml, read: ReadBars) {
    this.#read = read
    this.#api = api
    this.#settings = settings
    this.#dml = dml
    this.#nextMergeMs = settings.nowMs() + settings.mergeEveryMs
  }

  /** Rows stamped later than this, in microseconds, are not merged yet; `undefined` when nothing was ever streamed. */
  async since(signal?: AbortSignal): Promise<number | undefined> {
    if (!this.#there) {
      const metadata = await this.#api.tableMetadata(this.#settings.liveTable, signal)
      if (!metadata) return undefined
      this.#mergedMicros = Math.max(this.#mergedMicros, Number(metadata.labels?.[MERGED_LABEL] ?? 0))
      this.#dml.after(this.#mergedMicros)
    }
    return Math.max(0, this.#mergedMicros - OVERLAP_MICROS)
  }

  /** Streams the bars that are not there with the same values, of all entries together. One result an entry, in order. */
  async stream(entries: readonly KeyedBars[], signal?: AbortSignal): Promise<readonly Streamed[]> {
    await this.#ensure()
    const all = entries.map(({ key, batch }) => ({ key, batch, rows: rowsOf(key, batch) }))
    await this.#lookUp(all, signal)
    const stampMicros = this.#dml.stamp()
    const sent = all.flatMap(({ rows }) =>
      rows
        .filter(({ name, content }) => this.#known.get(name)?.content !== content)
        .map((row) => ({
          ...stamped(row, stampMicros),
          insertId: successorOf(this.#known.get(row.name)?.sent, row.content),
        })),
    )
    const refused = new Map<string, string>()
    for (const part of requests(sent)) {
      for (const [name, reason] of await this.#send(part, signal)) refused.set(name, reason)
    }
    const taken = new Map(sent.filter(({ name }) => !refused.has(name)).map((row) => [row.name, row]))
    if (taken.size > 0) this.#streamed = true
    return all.map(({ rows }) => this.#took(rows, taken, refused))
  }

  /** What became of the rows of one entry; from here on they are known. */
  #took(
    rows: readonly LiveRow[],
    taken: ReadonlyMap<string, LiveRow>,
    refused: ReadonlyMap<string, string>,
  ): Streamed {
    const own = rows.flatMap(({ name }) => taken.get(name) ?? [])
    const revised = own.filter(({ name }) => this.#known.get(name)?.content !== undefined)
    for (const { name, content, insertId } of own) this.#known.set(name, { content, sent: insertId })
    return {
      inserted: own.length - revised.length,
      revised: revised.length,
      revisedAtMs: revised.slice(0, 100).map(({ openTimeMs }) => openTimeMs),
      setAside: rows
        .filter(({ name }) => refused.has(name))
        .map(({ name, openTimeMs }) => ({ openTimeMs, reason: refused.get(name)! })),
    }
  }

  /** The bars of a series have changed by another way: what is known of them is looked up again. */
  forget(key: SeriesKey): void {
    this.#knownUpToMs.delete(JSON.stringify(key))
  }

  /** Takes back what was streamed into `range` and not merged for good, where `batch` lacks it. */
  async takeBack(key: SeriesKey, range: TimeRange, batch: BarBatch, signal?: AbortSignal): Promise<void> {
    this.forget(key)
    const since = await this.since(signal)
    if (since === undefined) return
    const kept = new Set(batch.openTimeMs)
    const { sql, params } = streamedTimes(this.#settings, key, range, since)
    const ran = await this.#api.query(sql, params, this.#dml.jobId('read'), signal)
    const rows: LiveRow[] = []
    const stampMicros = this.#dml.stamp()
    for await (const page of this.#api.rows(ran.jobId, signal)) {
      for (const [time] of page)
        if (!kept.has(Number(time))) rows.push(removal(key, Number(time), stampMicros))
    }
    for (const part of requests(rows)) {
      const refused = await this.#send(part, signal)
      if (refused.size > 0) throw new Error([...refused.values()][0])
    }
    for (const { name, insertId } of rows) this.#known.set(name, { content: undefined, sent: insertId })
  }

  /** Merges when it is time to. */
  async mergeIfDue(signal?: AbortSignal): Promise<void> {
    if (this.#streamed && this.#settings.nowMs() >= this.#nextMergeMs) await this.merge(signal)
  }

  /** Merges what this process has streamed; nothing when it has not. */
  async mergeStreamed(): Promise<void> {
    if (this.#streamed) await this.merge()
  }

  /**
   * Merges what was streamed, by this process, another, or one that was killed. What is stamped afterwards is stamped
   * later than all of it. A repeat merges nothing.
   */
  async merge(signal?: AbortSignal): Promise<void> {
    this.#nextMergeMs = this.#settings.nowMs() + this.#settings.mergeEveryMs
    const since = await this.since(signal)
    if (since === undefined) return
    const streamed = this.#streamed
    // What is streamed from here on is for the next merge.
    this.#streamed = false
    try {
      await this.#mergeSince(since, signal)
    } catch (error) {
      this.#streamed ||= streamed
      throw error
    }
  }

  async #mergeSince(since: number, signal?: AbortSignal): Promise<void> {
    const pending = await this.#pending(since, signal)
    this.#dml.after(pending?.lastMicros ?? 0)
    const until = this.#dml.stamp()
    if (pending) {
      const ran = await this.#dml.run(mergeLive(this.#settings, pending.span, since, until), signal)
      this.#settings.onEvent({
        event: 'store_live_merged',
        level: 'debug',
        store: this.#settings.name,
        inserted: ran.inserted,
        revised: ran.updated,
      })
      const labels = { [MERGED_LABEL]: String(until) }
      await this.#api.patchTable(this.#settings.liveTable, { labels }, signal)
    }
    this.#mergedMicros = Math.max(this.#mergedMicros, until)
  }

  /** Where streamed bars open that are not merged, and the last stamp of them. */
  async #pending(since: number, signal?: AbortSignal) {
    const { sql, params } = pendingLive(this.#settings, since)
    const ran = await this.#api.query(sql, params, this.#dml.jobId('read'), signal)
    for await (const page of this.#api.rows(ran.jobId, signal)) {
      const [bars, first, last, lastMicros] = page[0] ?? []
      if (Number(bars) === 0) continue
      return { span: { startMs: Number(first), endMs: Number(last) + 1 }, lastMicros: Number(lastMicros) }
    }
    return undefined
  }

  /** Learns what is stored of a series before its first bar is streamed, and of bars that are not simply the next. */
  async #lookUp(
    all: readonly (KeyedBars & { readonly rows: readonly LiveRow[] })[],
    signal?: AbortSignal,
  ): Promise<void> {
    const unsure = all.flatMap(({ key, rows }): Unsure[] => {
      const knownUpToMs = this.#knownUpToMs.get(JSON.stringify(key))
      const own = rows.filter(
        ({ name, openTimeMs }) =>
          knownUpToMs === undefined || (openTimeMs <= knownUpToMs && !this.#known.get(name)),
      )
      if (own.length === 0) return []
      return [{ key, rows: own, span: { startMs: own[0]!.openTimeMs, endMs: own.at(-1)!.openTimeMs + 1 } }]
    })
    for (const group of together(unsure)) {
      const keys = group.map(({ key }) => key)
      const stored = await this.#read(keys, hullOf(group.map(({ span }) => span)), signal)
      this.#dml.after(stored.lastMicros)
      for (const { key, rows } of group) {
        const batch = stored.bars.get(JSON.stringify(key)) ?? emptyBatch
        const contents = new Map(rowsOf(key, batch).map(({ name, content }) => [name, content]))
        for (const { name } of rows) {
          const content = contents.get(name)
          this.#known.set(name, { content, sent: this.#known.get(name)?.sent ?? content })
        }
      }
    }
    for (const { key, batch } of all) {
      const series = JSON.stringify(key)
      const lastMs = batch.openTimeMs[batch.length - 1]!
      this.#knownUpToMs.set(series, Math.max(lastMs, this.#knownUpToMs.get(series) ?? lastMs))
    }
  }

  #ensure(): Promise<void> {
    this.#ready ??= this.#open()
    return this.#ready.catch((error) => {
      this.#ready = undefined
      throw error
    })
  }

  /** The first of a process merges what one that was killed has left: nobody else may, before it expires. */
  async #open(): Promise<void> {
    await this.merge()
    await ensureLiveTable(this.#api, this.#settings)
    this.#there = true
  }

  /** Sends one request; rows refused for another's fault go again under the same ids. Gives the others' reasons. */
  async #send(rows: readonly LiveRow[], signal?: AbortSignal): Promise<Map<string, string>> {
    const reasons = new Map<string, string>()
    let waiting = rows
    for (let attempt = 0; waiting.length > 0; attempt++) {
      const refused = await this.#api.insert(this.#settings.liveTable, waiting.map(toRow), signal)
      const again: LiveRow[] = []
      for (const { index, reason, message } of refused) {
        const row = waiting[index]!
        if (innocent.has(reason) && attempt < RESENDS_MAX) again.push(row)
        else reasons.set(row.name, message)
      }
      waiting = again
    }
    return reasons
  }
}

interface LiveRow extends StreamedRow {
  /** The bar it is, whatever its values. */
  readonly name: string
  /** The id of its values. */
  readonly content: string
  readonly openTimeMs: number
  readonly bytes: number
}

const hullOf = (spans: readonly TimeRange[]): TimeRange => ({
  startMs: Math.min(...spans.map(({ startMs }) => startMs)),
  endMs: Math.max(...spans.map(({ endMs }) => endMs)),
})

/** All that lies within a day in one group, each of the rest in its own: one query costs what the partitions cost. */
function together(unsure: readonly Unsure[]): (readonly Unsure[])[] {
  if (unsure.length === 0) return []
  const latestMs = Math.max(...unsure.map(({ span }) => span.endMs))
  const near = unsure.filter(({ span }) => span.startMs >= latestMs - TOGETHER_MS)
  const rest = unsure.filter(({ span }) => span.startMs < latestMs - TOGETHER_MS)
  return [...(near.length > 0 ? [near] : []), ...rest.map((one) => [one])]
}

/** A row without values: the bar was taken back. */
function removal(key: SeriesKey, openTimeMs: EpochMs, stampMicros: number): LiveRow {
  const bar = { timestamp: iso(openTimeMs), ...key }
  const name = JSON.stringify(bar)
  const row = stamped({ name, content: '', openTimeMs, insertId: '', json: bar, bytes: 0 }, stampMicros)
  const id = idOf(row.json)
  return { ...row, content: id, insertId: id }
}

const stamped = (row: LiveRow, stampMicros: number): LiveRow => {
  const json = { ...row.json, ingested_at: isoMicros(stampMicros) }
  return { ...row, json, bytes: bytesOf(json) }
}

/**
 * The id a bar is sent under: that of its values, and of what was sent before. A bar that goes back to earlier values has
 * another id than the first time, or BigQuery would take it for a repeat and drop it.
 */
const successorOf = (before: string | undefined, id: string): string =>
  before === undefined ? id : idOf([before, id])

const idOf = (row: unknown): string => bytesToHex(blake2b(utf8ToBytes(JSON.stringify(row)), { dkLen: 16 }))

const bytesOf = (json: unknown): number => Buffer.byteLength(JSON.stringify(json)) + 64

const isoMicros = (micros: number): string =>
  `${iso(Math.floor(micros / 1000)).slice(0, -1)}${String(micros % 1000).padStart(3, '0')}Z`

const toRow = ({ insertId, json }: LiveRow): StreamedRow => ({ insertId, json })

const iso = (ms: number): string => new Date(ms).toISOString()

/** The bars of a batch as rows, which lack a stamp. */
function rowsOf(key: SeriesKey, batch: BarBatch): LiveRow[] {
  return Array.from({ length: batch.length }, (_, i) => {
    const openTimeMs = batch.openTimeMs[i]!
    const values: Record<string, unknown> = {}
    for (const { name, field, type } of valueColumns) {
      const value = columnOf(batch, field)?.[i] ?? Number.NaN
      if (!Number.isNaN(value)) values[name] = type === 'TIMESTAMP' ? iso(value) : value
    }
    const bar = { timestamp: iso(openTimeMs), ...key }
    const json = { ...bar, ...values }
    const content = idOf(json)
    return { name: JSON.stringify(bar), content, openTimeMs, insertId: content, json, bytes: 0 }
  })
}

/** Rows in requests of at most `ROWS_MAX` rows and `BYTES_MAX` bytes. */
export function requests<Row extends { readonly bytes: number }>(rows: readonly Row[]): Row[][] {
  const out: Row[][] = []
  let bytes = 0
  for (const row of rows) {
    const last = out.at(-1)
    if (!last || last.length === ROWS_MAX || bytes + row.bytes > BYTES_MAX) {
      out.push([row])
      bytes = row.bytes
    } else {
      last.push(row)
      bytes += row.bytes
    }
  }
  return out
}
