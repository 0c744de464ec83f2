import type { Restatement } from './feed.ts'
import { type Block, blockOfRows, type KlineRow, rowsOfBlock } from './rows.ts'

/** Corrections so far, by series and open time; a later one to the same bar adds to the earlier. */
export class RestatementBook {
  readonly #changes = new Map<string, Map<number, Restatement>>()

  add(key: string, change: Restatement): void {
    const changes = this.#changes.get(key) ?? new Map<number, Restatement>()
    changes.set(change.openTimeMs, { ...changes.get(change.openTimeMs), ...change })
    this.#changes.set(key, changes)
  }

  of(key: string): ReadonlyMap<number, Restatement> | undefined {
    return this.#changes.get(key)
  }
}

export function applyRestatements(
  block: Block,
  changes: ReadonlyMap<number, Restatement> | undefined,
): Block {
  if (!changes?.size) return block
  if (![...changes.keys()].some((ms) => ms >= block.startMs && ms < block.endMs)) return block
  const rows = rowsOfBlock(block).map((row): KlineRow => {
    const change = changes.get(row[0])
    if (!change) return row
    const { open = row[1], high = row[2], low = row[3], close = row[4], volume = row[5] } = change
    return [row[0], open, high, low, close, volume, row[6], row[7], row[8], row[9], row[10], row[11]]
  })
  return blockOfRows(rows, block.startMs, block.endMs)
}
