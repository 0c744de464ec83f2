import { join } from 'node:path'
import type { EpochMs } from '../../model/time.ts'
import { shiftBars } from '../../model/timeframe.ts'
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
  readonly #bounds: readonly EpochMs[]
  /** Ring of the last window's times and of how many values were unknown before each. */
  readonly #times: Float64Array
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
    this.#unknownBefore = new Float64Array(size)
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    const { context_length: past, prediction_length: ahead, stride } = this.#options
    const values = frame.columns[this.#column]!
    const out = names.map(() => new Float64Array(Math.ceil(frame.length / stride) + 1))
    const size = this.#times.length
    let rows = 0
    for (let i = 0; i < frame.length; i++) {
      this.#times[this.#seen % size] = frame.timeMs[i]!
      this.#unknownBefore[this.#seen % size] = this.#unknown
      this.#seen++
      if (Number.isNaN(values[i]!)) this.#unknown++
      const cutoff = this.#seen - ahead
      const start = cutoff - past
      if (start < 0 || start % stride !== 0) continue
      const cutoffMs = this.#times[cutoff % size]!
      const before = this.#unknownBefore[cutoff % size]!
      const row = [
        cutoffMs,
        this.#times[start % size]!,
        before - this.#unknownBefore[start % size]!,
        this.#unknown - before,
      ]
      row.push(this.#split(item, cutoffMs, frame.timeMs[i]!))
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
  }

  /** Position in `splits`. A window is of a part when all that it predicts lies there, past the embargo. */
  #split(item: Item, cutoffMs: EpochMs, lastMs: EpochMs): number {
    const [validation, test] = this.#bounds as [EpochMs, EpochMs]
    const after = (bound: EpochMs) =>
      Number.isFinite(bound) && cutoffMs >= shiftBars(item.timeframe, bound, this.#options.embargo_bars)
    if (lastMs < Math.min(validation, test)) return 0
    if (after(test)) return 2
    return after(validation) && lastMs < test ? 1 : 3
  }

  async close() {
    await this.#sink.close(projection(''))
    return { files: [{ path: 'windows.parquet', rows: this.#sink.rows }], warnings: [] }
  }

  async abandon(): Promise<void> {}
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
