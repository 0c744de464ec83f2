import { join } from 'node:path'
import { timeframeToken } from '../../model/lake.ts'
import { escapeSymbol } from '../../model/series.ts'
import { monthOf } from '../../model/time.ts'
import { ConfigError } from '../errors.ts'
import { filterFrame, rowAt, sliceFrame } from '../frame.ts'
import { type Engine, identifier, literal } from '../read/engine.ts'
import { asTimestamp, ParquetSink } from '../write/parquet-sink.ts'
import type { ExportFrame, Item } from './item.ts'
import { type Definition, definitionHash, valueColumns } from './options.ts'
import type { FormatWriter, WrittenFile } from './writer.ts'

/**
 * Long frames: `item_id`, `timestamp` (no zone, UTC), then one column `target`, or the columns under their own names,
 * and the features that were asked for. Nothing else, for a trainer takes every further column as something to learn from.
 */
export class LongWriter implements FormatWriter {
  readonly #folder: string
  readonly #engine: Engine
  readonly #definition: Definition
  readonly #written: WrittenFile[] = []
  #sink: { readonly sink: ParquetSink; readonly name: string } | undefined

  constructor(engine: Engine, folder: string, definition: Definition, items: readonly Item[]) {
    this.#engine = engine
    this.#folder = folder
    this.#definition = definition
    if (definition.layout === 'monthly') refuseSharedNames(items)
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    if (this.#definition.layout === 'single') {
      await this.#append(this.#definition.format === 'csv' ? 'long.csv' : 'long.parquet', item, frame)
      return
    }
    for (let from = 0; from < frame.length; ) {
      const month = monthOf(frame.timeMs[from]!)
      const to = rowAt(frame, month.endMs)
      const part = { ...sliceFrame(frame, from, to), present: frame.present.subarray(from, to) }
      await this.#append(this.#monthName(item, month.startMs), item, part)
      from = to
    }
  }

  async #append(name: string, item: Item, frame: ExportFrame): Promise<void> {
    const { columns, format, fill } = this.#definition
    const names = valueColumns(this.#definition)
    if (this.#sink?.name !== name) {
      await this.#finish()
      this.#sink = { name, sink: new ParquetSink(this.#engine, join(this.#folder, name), ['t', ...names]) }
    }
    const kept =
      format === 'csv' && fill.policy === 'none'
        ? filterFrame(frame, (row) => frame.present[row] === 1)
        : frame
    const arrays = [kept.timeMs, ...names.map((column) => kept.columns[column]!)]
    await this.#sink.sink.append(
      arrays,
      kept.length,
      longProjection(item.id, names, { csv: format === 'csv', target: columns.length === 1 }),
    )
  }

  #monthName(item: Item, ms: number): string {
    const { instrument, timeframe } = item.input.series
    const date = new Date(ms)
    const [year, month] = [String(date.getUTCFullYear()), String(date.getUTCMonth() + 1).padStart(2, '0')]
    const hash = definitionHash(this.#definition)
    return `${year}/${month}/${escapeSymbol(instrument.symbol)}_${timeframeToken(timeframe)}_h0_${year}_${month}_${hash}.parquet`
  }

  async endItem(): Promise<void> {
    if (this.#definition.layout === 'monthly') await this.#finish()
  }

  async #finish(): Promise<void> {
    if (!this.#sink) return
    await this.#sink.sink.close()
    this.#written.push({ path: this.#sink.name, rows: this.#sink.sink.rows })
    this.#sink = undefined
  }

  async close() {
    await this.#finish()
    return { files: this.#written, warnings: [] }
  }

  async abandon(): Promise<void> {
    this.#sink = undefined
  }
}

/**
 * SQL for the columns of a long frame; `target` has the first one called that. In CSV a value that is not known is an
 * empty cell.
 */
export function longProjection(
  id: string,
  columns: readonly string[],
  { csv, target }: { readonly csv: boolean; readonly target: boolean },
): string {
  const values = columns.map((column, i) => {
    const value = csv ? `nullif(${identifier(column)}, 'nan'::DOUBLE)` : identifier(column)
    return `${value} AS ${identifier(target && i === 0 ? 'target' : column)}`
  })
  return [`${literal(id)} AS item_id`, asTimestamp('t', 'timestamp'), ...values].join(', ')
}

function refuseSharedNames(items: readonly Item[]): void {
  const names = items.map(({ input: { series } }) => `${series.instrument.symbol} ${series.timeframe}`)
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice === undefined) return
  throw new ConfigError(
    'loader.bad-export',
    'two series would share a month file, whose name holds symbol and timeframe only',
    {
      value: twice,
      hint: 'Export them to two folders, or with the layout single.',
    },
  )
}
