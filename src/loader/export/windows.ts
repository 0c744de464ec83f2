import { join } from 'node:path'
import type { EpochMs } from '../../model/time.ts'
import { type Engine, literal } from '../read/engine.ts'
import { asTimestamp, ParquetSink } from '../write/parquet-sink.ts'
import type { ExportFrame, Item } from './item.ts'
import type { Definition, WindowsOptions } from './options.ts'
import type { FormatWriter } from './writer.ts'

/** What a window is for; `embargo`: for nothing, it lies across the border of two parts. */
export const splits = ['train', 'validation', 'test', 'embargo'] as const

/**
 * An index of windows, without their values: `cutoff` is the first bar to be predicted, the context is the
 * `context_length` bars before it. Memory: one window.
 */
export class WindowsWriter implements FormatWriter {
  readonly #options: WindowsOptions
  readonly #column: string
  readonly #sink: ParquetSink
  /** Where the validation and the test part begin. */
  readonly #bounds: readonly EpochMs[]
  /** First cutoff of either part in the item at hand: as many bars of its grid later as the embargo has. */
  #opens: readonly EpochMs[] | undefined
  /** Rings of the last window: the times that are written, the real ones, and how many values were unknown before. */
  readonly #times: Float64Array
  readonly #real: Float64Array
  readonly #unknownBefore: Float64Array
  #seen = 0
  #unknown = 0

  constructor(engine: Engine, folder: string, definition: Definition) {
    this.#options = definition.windows!
    this.#column = definition.columns[0]!
    this.#sink = new ParquetSink(engine, join(folder, 'windows.parquet'), names)
    const { context_length, prediction_length, validation_from, test_from } = this.#options
    this.#bounds = [validation_from, test_from].map((text) =>
      text ? Date.parse(text) : Number.POSITIVE_INFINITY,
    )
    const size = context_length + prediction_length + 1
    this.#times = new Float64Array(size)
    this.#real = new Float64Array(size)
    this.#unknownBefore = new Float64Array(size)
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    const { context_length: past, prediction_length: ahead, stride } = this.#options
    const values = frame.columns[this.#column]!
    const real = frame.realMs ?? frame.timeMs
    const out = names.map(() => new Float64Array(Math.ceil(frame.length / stride) + 1))
    const size = this.#times.length
    let rows = 0
    for (let i = 0; i < frame.length; i++) {
      this.#times[this.#seen % size] = frame.timeMs[i]!
      this.#real[this.#seen % size] = real[i]!
      this.#unknownBefore[this.#seen % size] = this.#unknown
      this.#seen++
      if (Number.isNaN(values[i]!)) this.#unknown++
      const cutoff = this.#seen - ahead
      const start = cutoff - past
      if (start < 0 || start % stride !== 0) continue
      const before = this.#unknownBefore[cutoff % size]!
      const row = [
        this.#times[cutoff % size]!,
        this.#times[start % size]!,
        before - this.#unknownBefore[start % size]!,
        this.#unknown - before,
      ]
      row.push(this.#split(item, this.#real[cutoff % size]!, real[i]!))
      row.forEach((value, column) => {
        out[column]![rows] = value
      })
      rows++
    }
    await this.#sink.append(out, rows, projection(item.id))
  }

  async endItem(): Promise<void> {
    this.#seen = 0
    this.#unknown = 0
    this.#opens = undefined
  }

  /**
   * Position in `splits`. A window is of a part when all that it predicts lies there, past the embargo. Judged by real
   * times: those written may be made up.
   */
  #split(item: Item, cutoffMs: EpochMs, lastMs: EpochMs): number {
    const [validation, test] = this.#bounds as [EpochMs, EpochMs]
    this.#opens ??= this.#bounds.map((bound) => barsAfter(item, bound, this.#options.embargo_bars))
    const [validationOpen, testOpen] = this.#opens as [EpochMs, EpochMs]
    if (lastMs < Math.min(validation, test)) return 0
    if (cutoffMs >= testOpen) return 2
    return cutoffMs >= validationOpen && lastMs < test ? 1 : 3
  }

  async close() {
    await this.#sink.close(projection(''))
    return { files: [{ path: 'windows.parquet', rows: this.#sink.rows }], warnings: [] }
  }

  async abandon(): Promise<void> {}
}

/** The slot of an item's grid `bars` after the first one at or after `startMs`; past its end where there is none. */
function barsAfter(item: Item, startMs: EpochMs, bars: number): EpochMs {
  const { endMs } = item.slots
  if (startMs >= endMs) return Number.POSITIVE_INFINITY
  const { firstMs, next } = item.slotsIn({ startMs, endMs })
  let ms = firstMs
  for (let i = 0; i < bars && ms < endMs; i++) ms = next(ms)
  return ms
}

const names = ['cutoff', 'context_start', 'n_missing', 'n_missing_ahead', 'split'] as const

const projection = (id: string): string =>
  [
    `${literal(id)} AS item_id`,
    asTimestamp('cutoff'),
    asTimestamp('context_start'),
    'n_missing = 0 AS context_complete',
    'n_missing::BIGINT AS n_missing',
    'n_missing_ahead::BIGINT AS n_missing_ahead',
    `[${splits.map(literal).join(', ')}][split::INTEGER + 1] AS split`,
  ].join(', ')
