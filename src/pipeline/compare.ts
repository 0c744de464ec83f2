import { type BarBatch, batchWithin, emptyBatch, fieldsOf, nativeFields, priceFields } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import { lakePath } from '../model/lake.ts'
import type { Series } from '../model/series.ts'
import { type EpochMs, iso, monthOf, overlap, type TimeRange } from '../model/time.ts'
import type { Store } from '../store/store.ts'
import { type OnFault, repairHint } from './fault.ts'

/**
 * Reads a store along a series, month by month, and compares it with the bars it ought to hold. Ranges are given in
 * ascending order. Holds a month at a time.
 */
export class StoreComparer {
  barsRead = 0
  readonly #store: Store
  readonly #series: Series
  readonly #onFault: OnFault
  #month: TimeRange = { startMs: 0, endMs: 0 }
  #bars: BarBatch = emptyBatch
  #unreadable = false

  constructor(store: Store, series: Series, onFault: OnFault) {
    this.#store = store
    this.#series = series
    this.#onFault = onFault
  }

  /** Names every bar of `range` that the store lacks, has too much or has with other values. */
  async expect(range: TimeRange, expected: BarBatch): Promise<void> {
    for (let at = range.startMs; at < range.endMs; at = this.#month.endMs) {
      await this.#open(at)
      const part = overlap(range, this.#month)
      if (!part || this.#unreadable) continue
      this.#compare(batchWithin(expected, part), batchWithin(this.#bars, part))
    }
  }

  async #open(ms: EpochMs): Promise<void> {
    const month = monthOf(ms)
    if (month.startMs === this.#month.startMs && month.endMs === this.#month.endMs) return
    this.#month = month
    this.#bars = emptyBatch
    this.#unreadable = false
    try {
      const batches: BarBatch[] = []
      for await (const batch of this.#store.scan(this.#series, month)) batches.push(batch)
      this.#bars = joinAscending(batches)
      this.barsRead += this.#bars.length
    } catch (error) {
      if (!isEverybarError(error, 'store.corrupt')) throw error
      this.#unreadable = true
      const path = error.path ?? this.#pathOf(ms)
      this.#onFault({ kind: 'store.corrupt', path, range: month, detail: error.message, hint: repairHint })
    }
  }

  #compare(expected: BarBatch, stored: BarBatch): void {
    if (sameBars(expected, stored)) return
    let e = 0
    let s = 0
    while (e < expected.length || s < stored.length) {
      const wanted = expected.openTimeMs[e] ?? Number.POSITIVE_INFINITY
      const held = stored.openTimeMs[s] ?? Number.POSITIVE_INFINITY
      if (wanted < held)
        this.#report('store.bar-missing', expected.openTimeMs[e++]!, 'in the archive, not in the store')
      else if (held < wanted)
        this.#report('store.bar-unknown', stored.openTimeMs[s++]!, 'in the store, not in the archive')
      else {
        const difference = differenceAt(expected, e++, stored, s++)
        if (difference) this.#report('store.bar-differs', wanted, difference)
      }
    }
  }

  #report(kind: string, openTimeMs: EpochMs, detail: string): void {
    const path = this.#pathOf(openTimeMs)
    const range = { startMs: openTimeMs, endMs: openTimeMs + 1 }
    this.#onFault({
      kind,
      path,
      openTimeMs,
      range,
      detail: `bar ${iso(openTimeMs)}: ${detail}`,
      hint: repairHint,
    })
  }

  #pathOf(ms: EpochMs): string {
    return this.#store.traits.rewritesMonths ? lakePath(this.#series, ms) : this.#store.name
  }
}

/** A month's runs as one; they come ascending, so that a repeated time is the store's own fault and stays visible. */
function joinAscending(batches: readonly BarBatch[]): BarBatch {
  if (batches.length <= 1) return batches[0] ?? emptyBatch
  const fields = nativeFields.filter((field) => batches.some((batch) => batch.native[field]))
  const join = (column: (batch: BarBatch) => Float64Array | undefined) => {
    const out = new Float64Array(batches.reduce((sum, batch) => sum + batch.length, 0)).fill(Number.NaN)
    let at = 0
    for (const batch of batches) {
      const values = column(batch)
      if (values) out.set(values, at)
      at += batch.length
    }
    return out
  }
  const openTimeMs = join((batch) => batch.openTimeMs)
  return {
    length: openTimeMs.length,
    openTimeMs,
    open: join((batch) => batch.open),
    high: join((batch) => batch.high),
    low: join((batch) => batch.low),
    close: join((batch) => batch.close),
    volume: join((batch) => batch.volume),
    native: Object.fromEntries(fields.map((field) => [field, join((batch) => batch.native[field])])),
  }
}

/** Equal value for value; unknown equals unknown, and an absent column is unknown throughout. */
function sameBars(a: BarBatch, b: BarBatch): boolean {
  if (a.length !== b.length || !sameColumn(a.openTimeMs, b.openTimeMs, a.length)) return false
  for (const field of priceFields) if (!sameColumn(a[field], b[field], a.length)) return false
  const fields = new Set([...fieldsOf(a), ...fieldsOf(b)])
  for (const field of fields) if (!sameColumn(a.native[field], b.native[field], a.length)) return false
  return true
}

function sameColumn(a: Float64Array | undefined, b: Float64Array | undefined, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const x = a?.[i] ?? Number.NaN
    const y = b?.[i] ?? Number.NaN
    if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) return false
  }
  return true
}

function differenceAt(a: BarBatch, i: number, b: BarBatch, j: number): string | undefined {
  for (const field of priceFields) {
    if (!sameValue(a[field][i], b[field][j])) return `${field} is ${b[field][j]}, archived as ${a[field][i]}`
  }
  for (const field of nativeFields) {
    const [x, y] = [a.native[field]?.[i], b.native[field]?.[j]]
    if (!sameValue(x, y)) return `${field} is ${y}, archived as ${x}`
  }
  return undefined
}

const sameValue = (a = Number.NaN, b = Number.NaN) => a === b || (Number.isNaN(a) && Number.isNaN(b))
