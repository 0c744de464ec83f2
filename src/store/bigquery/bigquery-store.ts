import { type BarBatch, batchWithin } from '../../model/bar.ts'
import { type Series, seriesId } from '../../model/series.ts'
import type { TimeRange } from '../../model/time.ts'
import { checkBatch, checkEntries, checkWithin } from '../bars.ts'
import { withoutMisfits } from '../common/misfits.ts'
import type { AppendEntry, CommitResult, SetAsideBar, Store, StoredExtent, StoreTraits } from '../store.ts'
import { Api, typed } from './api.ts'
import { keyOf, wholeColumns } from './columns.ts'
import { Dml } from './dml.ts'
import { duckdbParquetWriter, type ParquetWriter } from './duckdb-parquet.ts'
import { ensureTable, planTable, type SchemaPlan } from './ensure.ts'
import { type Loader, loadAndMerge, type Merged, partsByDays } from './history.ts'
import { type KeyedBars, LiveTable } from './live.ts'
import { type BigQuerySettings, type BigQueryStoreOptions, settingsOf } from './options.ts'
import { Reader, years } from './reader.ts'

const traits: StoreTraits = { kind: 'bigquery', rowsPerCommit: 200_000, rewritesMonths: false }

const ALWAYS: TimeRange = { startMs: 0, endMs: 1e14 }

/** Bars in BigQuery. Every commit but a small one is a load job and a MERGE. */
export interface BigQueryStore extends Store {
  /**
   * The SQL that would make dataset and table, or add what the table lacks; reads only.
   *
   * @throws EverybarError `store.schema` (abort) naming how a table that is there differs.
   */
  planSchema(): Promise<SchemaPlan>
  /** Makes them, and says what was planned. A repeat plans nothing. */
  applySchema(): Promise<SchemaPlan>
  /** Merges streamed bars into the table now; else it is done every `mergeEveryMs` and when the store closes. */
  mergeLive(signal?: AbortSignal): Promise<void>
}

/**
 * A store in BigQuery. Calls nothing until it is used.
 *
 * @throws EverybarError `store.bad-option` (abort).
 */
export async function openBigQueryStore(options: BigQueryStoreOptions): Promise<BigQueryStore> {
  return new OpenBigQueryStore(options)
}

class OpenBigQueryStore implements BigQueryStore {
  readonly traits = traits
  readonly name: string
  readonly target: string
  readonly #settings: BigQuerySettings
  readonly #api: Api
  readonly #dml: Dml
  readonly #live: LiveTable
  readonly #reader: Reader
  readonly #parquet: ParquetWriter
  readonly #loader: Loader
  #ready: Promise<void> | undefined

  constructor(options: BigQueryStoreOptions) {
    this.name = options.name
    this.#settings = settingsOf(options)
    const { project, dataset, table } = this.#settings
    this.target = `${project}.${dataset}.${table}`
    this.#api = new Api(this.#settings)
    this.#dml = new Dml(this.#api, this.#settings)
    this.#live = new LiveTable(this.#api, this.#settings, this.#dml, (keys, span, signal) =>
      this.#reader.readMany(keys, span, signal),
    )
    this.#reader = new Reader(this.#api, this.#settings, this.#dml, (signal) => this.#live.since(signal))
    this.#parquet = duckdbParquetWriter()
    const writeParquet = options.writeParquet ?? this.#parquet.write
    this.#loader = { api: this.#api, settings: this.#settings, dml: this.#dml, writeParquet }
  }

  async commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult> {
    checkBatch(batch)
    signal?.throwIfAborted()
    const [result] = await this.#write([{ series, batch }], signal)
    return result!
  }

  async append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    checkEntries(entries)
    signal?.throwIfAborted()
    return this.#write(entries, signal)
  }

  async replace(
    series: Series,
    range: TimeRange,
    batch: BarBatch,
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    checkBatch(batch)
    checkWithin(batch, range)
    const { batch: sound, setAside } = withoutMisfits(batch, wholeColumns)
    return typed(this.name, signal, async () => {
      await this.#ensure()
      const key = keyOf(series)
      // What was streamed is merged first, and taken back where the batch lacks it, or it would come back.
      await this.#live.merge(signal)
      await this.#live.takeBack(key, range, sound, signal)
      const merged: Merged[] = []
      const extent = await this.#reader.extent(key, range, signal)
      const filled = extent && { startMs: extent.firstMs, endMs: extent.lastMs + 1 }
      for (const part of partsToReplace(sound, filled)) {
        merged.push(await loadAndMerge(this.#loader, key, part.batch, signal, part.range))
      }
      return this.#report(series, batch, sum(merged), setAside)
    })
  }

  scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncIterable<BarBatch> {
    return this.#reader.scan(keyOf(series), range, signal)
  }

  extent(series: Series): Promise<StoredExtent | undefined> {
    return this.#reader.extent(keyOf(series), ALWAYS)
  }

  planSchema(): Promise<SchemaPlan> {
    return typed(this.name, undefined, () => planTable(this.#api, this.#settings))
  }

  async applySchema(): Promise<SchemaPlan> {
    const plan = await this.planSchema()
    await ensureTable(this.#api, { ...this.#settings, schemaMode: 'apply' })
    return plan
  }

  mergeLive(signal?: AbortSignal): Promise<void> {
    return typed(this.name, signal, () => this.#live.merge(signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await typed(this.name, undefined, () => this.#live.mergeStreamed())
    } finally {
      await this.#parquet.close()
    }
  }

  /** Small entries are streamed together, each of the others takes a load job. */
  async #write(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    const all = entries.map(({ series, batch }) => {
      const { batch: sound, setAside } = withoutMisfits(batch, wholeColumns)
      return { series, batch, sound: { key: keyOf(series), batch: sound }, setAside }
    })
    const filled = all.filter(({ sound }) => sound.batch.length > 0)
    const isSmall = ({ sound }: (typeof all)[number]) => sound.batch.length <= this.#settings.liveRowsMax
    const written = new Map<(typeof all)[number], Merged & { readonly setAside?: readonly SetAsideBar[] }>()
    if (filled.length > 0) {
      await typed(this.name, signal, async () => {
        await this.#ensure()
        const small = filled.filter(isSmall)
        if (small.length > 0) {
          const streamed = await this.#live.stream(
            small.map(({ sound }) => sound),
            signal,
          )
          for (const [i, one] of small.entries()) written.set(one, streamed[i]!)
          await this.#live.mergeIfDue(signal)
        }
        const large = filled.filter((one) => !isSmall(one))
        // A load that finds the table as it is leaves no mark: what was streamed before it would win over it later.
        if (large.length > 0) await this.#live.merge(signal)
        for (const one of large) written.set(one, await this.#load(one.sound, signal))
      })
    }
    return all.map((one) => {
      const { setAside = [], ...counts } = written.get(one) ?? none
      return this.#report(one.series, one.batch, counts, [...one.setAside, ...setAside])
    })
  }

  async #load({ key, batch }: KeyedBars, signal?: AbortSignal): Promise<Merged> {
    const merged: Merged[] = []
    this.#live.forget(key)
    for (const part of partsByDays(batch)) merged.push(await loadAndMerge(this.#loader, key, part, signal))
    return sum(merged)
  }

  #ensure(): Promise<void> {
    this.#ready ??= ensureTable(this.#api, this.#settings)
    return this.#ready.catch((error) => {
      this.#ready = undefined
      throw error
    })
  }

  #report(
    series: Series,
    batch: BarBatch,
    { inserted, revised, revisedAtMs }: Merged,
    setAside: readonly SetAsideBar[],
  ): CommitResult {
    if (setAside.length > 0) {
      this.#settings.onEvent({
        event: 'store_bars_set_aside',
        level: 'warn',
        store: this.name,
        series: seriesId(series),
        bars: setAside.length,
        firstMs: setAside[0]!.openTimeMs,
        reason: setAside[0]!.reason,
      })
    }
    const unchanged = batch.length - setAside.length - inserted - revised
    const sorted = [...setAside].sort((a, b) => a.openTimeMs - b.openTimeMs)
    return {
      inserted,
      revised,
      unchanged,
      revisedAtMs,
      ...(sorted.length > 0 && { setAside: sorted }),
    }
  }
}

const none: Merged & { readonly setAside?: readonly SetAsideBar[] } = {
  inserted: 0,
  revised: 0,
  revisedAtMs: [],
}

const sum = (parts: readonly Merged[]): Merged => ({
  inserted: parts.reduce((total, { inserted }) => total + inserted, 0),
  revised: parts.reduce((total, { revised }) => total + revised, 0),
  revisedAtMs: parts.flatMap(({ revisedAtMs }) => revisedAtMs).slice(0, 100),
})

/** Where there is something, or is to be, cut so that no part has more days than a job may change. */
function partsToReplace(
  batch: BarBatch,
  filled: TimeRange | undefined,
): { batch: BarBatch; range: TimeRange }[] {
  const first = batch.length > 0 ? batch.openTimeMs[0]! : Number.POSITIVE_INFINITY
  const last = batch.length > 0 ? batch.openTimeMs[batch.length - 1]! : Number.NEGATIVE_INFINITY
  const startMs = Math.min(first, filled?.startMs ?? first)
  const endMs = Math.max(last + 1, filled?.endMs ?? last + 1)
  if (startMs >= endMs) return []
  return years({ startMs, endMs }, 10).map((range) => ({ batch: batchWithin(batch, range), range }))
}
