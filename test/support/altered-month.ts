import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lakePath } from '../../src/model/lake.ts'
import type { Series } from '../../src/model/series.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { contentOf } from '../../src/testing/store-samples.ts'

/** Puts a month file of a root in place that is whole, but in which one bar has a trade more. Gives its path. */
export async function alterMonth(root: string, series: Series, openTimeMs: number): Promise<string> {
  const other = mkdtempSync(join(tmpdir(), 'everybar-altered-'))
  const path = lakePath(series, openTimeMs)
  cpSync(join(root, path), join(other, path), { recursive: true })
  const lake = await openLake({ root: other })
  try {
    const bars = await contentOf(lake, series, { startMs: openTimeMs, endMs: openTimeMs + 1 })
    bars.native.trades![0]! += 1
    await lake.commit(series, bars)
  } finally {
    await lake[Symbol.asyncDispose]()
  }
  copyFileSync(join(other, path), join(root, path))
  rmSync(other, { recursive: true })
  return path
}
