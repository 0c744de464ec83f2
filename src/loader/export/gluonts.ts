import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DataQualityError } from '../errors.ts'
import type { ArrowSchema } from '../write/arrow.ts'
import { ArrowSink } from '../write/arrow-sink.ts'
import type { ExportFrame, Item } from './item.ts'
import type { Definition, GluontsOptions } from './options.ts'
import { trainYaml } from './train-yaml.ts'
import type { FormatWriter } from './writer.ts'

/** What a GluonTS FileDataset reads of an Arrow file; `item_id` is passed over by the Chronos trainer. */
export const gluontsSchema: ArrowSchema = [
  { name: 'start', type: 'timestamp' },
  { name: 'target', type: 'list<float32>' },
  { name: 'item_id', type: 'utf8' },
]

interface Shard {
  readonly name: string
  readonly sink: ArrowSink
  rows: number
  bars: number
}

/**
 * Arrow files of one row a series, or several where a series is long, dealt to shards so that each holds about as many
 * bars. Memory: one row, at most `row_bars_max` values of four bytes.
 */
export class GluontsWriter implements FormatWriter {
  readonly #folder: string
  readonly #options: GluontsOptions
  readonly #column: string
  readonly #shards: Shard[]
  readonly #rowBars: number
  #row = new Float32Array(0)
  #length = 0
  #startMs = 0
  #pieceBars = 0
  #tooShort = 0
  #tooSparse = 0
  #usable = 0

  constructor(folder: string, definition: Definition, items: readonly Item[]) {
    this.#folder = folder
    this.#options = definition.gluonts!
    this.#column = definition.columns[0]!
    const { shards } = this.#options
    const total = items.reduce((sum, item) => sum + item.slots.count, 0)
    this.#rowBars = rowBars(this.#options, total)
    const digits = String(shards - 1).length
    this.#shards = Array.from({ length: shards }, (_, i) => {
      const name = `shard-${String(i).padStart(digits, '0')}.arrow`
      return { name, sink: new ArrowSink(join(folder, name), gluontsSchema), rows: 0, bars: 0 }
    })
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    if (this.#pieceBars === 0) {
      const pieces = Math.ceil(item.slots.count / this.#rowBars)
      this.#pieceBars = Math.ceil(item.slots.count / pieces)
      this.#row = new Float32Array(this.#pieceBars)
    }
    const values = frame.columns[this.#column]!
    const contiguous = this.#options.segments === 'contiguous'
    for (let i = 0; i < frame.length; i++) {
      const value = values[i]!
      if (contiguous && Number.isNaN(value)) {
        await this.#flush(item)
        continue
      }
      if (this.#length === 0) this.#startMs = frame.timeMs[i]!
      this.#row[this.#length++] = value
      if (this.#length === this.#pieceBars) await this.#flush(item)
    }
  }

  async endItem(item: Item): Promise<void> {
    await this.#flush(item)
    this.#pieceBars = 0
  }

  async #flush(item: Item): Promise<void> {
    if (this.#length === 0) return
    const target = this.#row.subarray(0, this.#length)
    this.#length = 0
    this.#judge(target)
    const shard = this.#shards.reduce((least, other) => (other.bars < least.bars ? other : least))
    shard.rows++
    shard.bars += target.length
    await shard.sink.append(
      [
        { name: 'start', type: 'timestamp', values: Float64Array.of(this.#startMs) },
        { name: 'target', type: 'list<float32>', values: [target] },
        { name: 'item_id', type: 'utf8', values: [item.id] },
      ],
      1,
    )
  }

  /** The trainer's own filter: what it would pass over without a word. */
  #judge(target: Float32Array): void {
    const { min_past, prediction_length, max_missing_prop } = this.#options
    let unknown = 0
    for (const value of target) if (Number.isNaN(value)) unknown++
    if (target.length < min_past + prediction_length) this.#tooShort++
    else if (unknown / target.length > max_missing_prop) this.#tooSparse++
    else this.#usable++
  }

  async close() {
    const { min_past, prediction_length, max_missing_prop } = this.#options
    if (this.#usable === 0) {
      throw new DataQualityError('loader.too-short', 'no row is long enough, or known enough, to train on', {
        value: { too_short: this.#tooShort, too_sparse: this.#tooSparse },
        hint: `A row needs ${min_past + prediction_length} bars (min_past + prediction_length) and at most ${max_missing_prop} of them unknown: take a longer range, or a smaller prediction_length.`,
      })
    }
    const used = this.#shards.filter((shard) => shard.rows > 0)
    for (const shard of used) await shard.sink.close()
    const weights = used.map(({ name, bars }) => ({ path: name, bars }))
    await writeFile(join(this.#folder, 'train.yaml'), trainYaml(weights, this.#options))
    const warnings = [
      ...(this.#tooShort > 0
        ? [
            `${this.#tooShort} rows are shorter than ${min_past + prediction_length} bars; the trainer passes over them`,
          ]
        : []),
      ...(this.#tooSparse > 0
        ? [`${this.#tooSparse} rows have more than ${max_missing_prop} unknown; the trainer passes over them`]
        : []),
    ]
    return {
      files: [...used.map(({ name, rows }) => ({ path: name, rows })), { path: 'train.yaml', rows: 0 }],
      warnings,
    }
  }

  async abandon(): Promise<void> {
    for (const shard of this.#shards) await shard.sink.abandon()
  }
}

/**
 * The longest row: with several shards an eighth of one, so that they can be dealt evenly, but room for two windows at
 * least.
 */
function rowBars(options: GluontsOptions, total: number): number {
  const { shards, row_bars_max, context_length, min_past, prediction_length } = options
  if (shards === 1) return row_bars_max
  const least = 2 * (Math.max(context_length, min_past) + prediction_length)
  return Math.min(row_bars_max, Math.max(Math.ceil(total / (shards * 8)), least))
}
