import { join } from 'node:path'
import type { Engine } from '../read/engine.ts'
import { literal } from '../read/engine.ts'
import { asTimestamp, ParquetSink } from '../write/parquet-sink.ts'
import { futureTimes, type Item } from './item.ts'
import type { Definition } from './options.ts'
import type { WrittenFile } from './writer.ts'

/** `future.parquet`: for each item exactly `prediction_length` times, those after the last row of its export. */
export async function writeFuture(
  engine: Engine,
  folder: string,
  definition: Definition,
  items: readonly Item[],
): Promise<WrittenFile> {
  const count = definition.future!.prediction_length
  const sink = new ParquetSink(engine, join(folder, 'future.parquet'), ['t'])
  for (const item of items) {
    const times = futureTimes(item, definition.grid, count)
    await sink.append([times], count, `${literal(item.id)} AS item_id, ${asTimestamp('t', 'timestamp')}`)
  }
  await sink.close()
  return { path: 'future.parquet', rows: sink.rows }
}
