import { type BarBatch, concatBatches, emptyBatch, sliceBatch } from '../../model/bar.ts'
import type { TimeRange } from '../../model/time.ts'
import { byMonth } from '../bars.ts'
import type { StoredExtent } from '../store.ts'
import { type Api, typed } from './api.ts'
import type { SeriesKey } from './columns.ts'
import type { Dml } from './dml.ts'
import { isMissing, storeFailure } from './failures.ts'
import type { BigQuerySettings } from './options.ts'
import { lastOfEach, rowsToBatch, withoutRemoved } from './rows.ts'
import { readBars, readExtent, readManyBars, type Statement } from './statements.ts'

/** Since when streamed bars are not merged yet; `undefined` where nothing was ever streamed. */
export type LiveSince = (signal?: AbortSignal) => Promise<number | undefined>

/** Reads bars of a series: those in the table, and those streamed and not merged yet. */
export class Reader {
  readonly #api: Api
  readonly #settings: BigQuerySettings
  readonly #dml: Dml
  readonly #since: LiveSince

  constructor(api: Api, settings: BigQuerySettings, dml: Dml, since: LiveSince) {
    this.#api = api
    this.#settings = settings
    this.#dml = dml
    this.#since = since
  }

  /** First, last and number of bars in `range`; `undefined` for none, also where there is no table. */
  extent(key: SeriesKey, range: TimeRange, signal?: AbortSignal): Promise<StoredExtent | undefined> {
    return typed(this.#settings.name, signal, async () => {
      const statement = readExtent(this.#settings, key, range, await this.#since(signal))
      try {
        for await (const [row] of this.#rows(statement, signal)) {
          const [rows, first, last] = row ?? []
          if (Number(rows) > 0) return { rows: Number(rows), firstMs: Number(first), lastMs: Number(last) }
        }
      } catch (error) {
        if (!isMissing(error)) throw error
      }
      return undefined
    })
  }

  /** As `Store.scan`. The extent is asked for first, so that only years with bars are read. */
  async *scan(key: SeriesKey, range: TimeRange, signal?: AbortSignal): AsyncGenerator<BarBatch> {
    const extent = await this.extent(key, range, signal)
    if (!extent) return
    try {
      const part = { startMs: extent.firstMs, endMs: extent.lastMs + 1 }
      for await (const run of this.#runs(key, part, signal)) {
        for (const { bars } of byMonth(run)) yield bars
      }
    } catch (error) {
      throw signal?.aborted ? signal.reason : storeFailure(error, this.#settings.name)
    }
  }

  /** The bars of several series in a short range, with one query, by the JSON of their key, and the last stamp of them. */
  async readMany(
    keys: readonly SeriesKey[],
    range: TimeRange,
    signal?: AbortSignal,
  ): Promise<{ readonly bars: ReadonlyMap<string, BarBatch>; readonly lastMicros: number }> {
    const statement = readManyBars(this.#settings, keys, range, await this.#since(signal))
    const rows = new Map<string, (string | null)[][]>()
    let lastMicros = 0
    for await (const page of this.#rows(statement, signal)) {
      for (const [exchange, symbol, timeframe, ...bar] of page) {
        const key = JSON.stringify({ exchange, symbol, timeframe })
        lastMicros = Math.max(lastMicros, Number(bar.at(-1) ?? 0))
        const own = rows.get(key)
        if (own) own.push(bar)
        else rows.set(key, [bar])
      }
    }
    const bars = [...rows].map(([key, own]) => [key, withoutRemoved(lastOfEach(rowsToBatch(own)))] as const)
    return { bars: new Map(bars), lastMicros }
  }

  /** A year at a time, because BigQuery sorts an answer on one machine. A page's last bar may come again. */
  async *#runs(key: SeriesKey, range: TimeRange, signal?: AbortSignal): AsyncGenerator<BarBatch> {
    const since = await this.#since(signal)
    let held = emptyBatch
    for (const part of years(range)) {
      for await (const rows of this.#rows(readBars(this.#settings, key, part, since), signal)) {
        const all = concatBatches([held, lastOfEach(rowsToBatch(rows))])
        held = sliceBatch(all, all.length - 1, all.length)
        yield withoutRemoved(sliceBatch(all, 0, all.length - 1))
      }
    }
    yield withoutRemoved(held)
  }

  async *#rows(
    { sql, params }: Statement,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly (string | null)[][]> {
    const { jobId } = await this.#api.query(sql, params, this.#dml.jobId('read'), signal)
    yield* this.#api.rows(jobId, signal)
  }
}

/** Ranges of at most `count` calendar years each. */
export function years(range: TimeRange, count = 1): TimeRange[] {
  const out: TimeRange[] = []
  for (let startMs = range.startMs; startMs < range.endMs; ) {
    const endMs = Math.min(range.endMs, Date.UTC(new Date(startMs).getUTCFullYear() + count, 0, 1))
    out.push({ startMs, endMs })
    startMs = endMs
  }
  return out
}
