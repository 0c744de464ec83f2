import { join } from 'node:path'
import type { EpochMs } from '../../model/time.ts'
import { type Engine, literal } from '../read/engine.ts'
import { asTimestamp, ParquetSink } from '../write/parquet-sink.ts'
import type { ExportFrame, Item } from './item.ts'
import type { Definition } from './options.ts'
import type { WrittenFile } from './writer.ts'

interface Run {
  startMs: EpochMs
  lastMs: EpochMs
  bars: number
}

/**
 * `fills.parquet`: every run of values that a fill policy made, by item and column, from its first to its last time.
 * What is not in it was stored. Not written where nothing was made.
 */
export class FillLog {
  readonly #sink: ParquetSink
  readonly #definition: Definition
  readonly #open = new Map<string, Run>()

  constructor(engine: Engine, folder: string, definition: Definition) {
    this.#sink = new ParquetSink(engine, join(folder, 'fills.parquet'), ['start', 'last', 'bars'])
    this.#definition = definition
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    for (const column of this.#definition.columns) {
      const marks = frame.filled[column]
      const ended: Run[] = []
      for (let i = 0; i < frame.length; i++) {
        const run = this.#open.get(column)
        const ms = frame.timeMs[i]!
        if (marks?.[i] === 1) {
          if (run) Object.assign(run, { lastMs: ms, bars: run.bars + 1 })
          else this.#open.set(column, { startMs: ms, lastMs: ms, bars: 1 })
        } else if (run) {
          ended.push(run)
          this.#open.delete(column)
          if (!marks) break // the rest of the frame has none
        } else if (!marks) {
          break
        }
      }
      await this.#append(item, column, ended)
    }
  }

  async endItem(item: Item): Promise<void> {
    for (const [column, run] of this.#open) await this.#append(item, column, [run])
    this.#open.clear()
  }

  async #append(item: Item, column: string, runs: readonly Run[]): Promise<void> {
    if (runs.length === 0) return
    const arrays = [
      Float64Array.from(runs, (run) => run.startMs),
      Float64Array.from(runs, (run) => run.lastMs),
      Float64Array.from(runs, (run) => run.bars),
    ]
    const projection = [
      `${literal(item.id)} AS item_id`,
      `${literal(column)} AS "column"`,
      asTimestamp('start'),
      asTimestamp('last'),
      'bars::BIGINT AS bars',
      `${literal(this.#definition.fill.policy)} AS policy`,
    ]
    await this.#sink.append(arrays, runs.length, projection.join(', '))
  }

  async close(): Promise<WrittenFile[]> {
    return closeUsed(this.#sink, 'fills.parquet')
  }
}

/** `mapping.parquet`: the real open time of every row, where the rows have other times. Else not written. */
export class TimeMap {
  readonly #sink: ParquetSink

  constructor(engine: Engine, folder: string) {
    this.#sink = new ParquetSink(engine, join(folder, 'mapping.parquet'), ['t', 'real'])
  }

  async write(item: Item, frame: ExportFrame): Promise<void> {
    if (!frame.realMs) return
    const projection = [
      `${literal(item.id)} AS item_id`,
      asTimestamp('t', 'timestamp'),
      asTimestamp('real', 'open_time'),
    ]
    await this.#sink.append([frame.timeMs, frame.realMs], frame.length, projection.join(', '))
  }

  async close(): Promise<WrittenFile[]> {
    return closeUsed(this.#sink, 'mapping.parquet')
  }
}

async function closeUsed(sink: ParquetSink, path: string): Promise<WrittenFile[]> {
  if (!sink.used) return []
  await sink.close()
  return [{ path, rows: sink.rows }]
}
