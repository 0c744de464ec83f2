import { createHash, type Hash } from 'node:crypto'
import { type BarBatch, nativeFields, priceFields } from '../model/bar.ts'

/**
 * A digest of bars by their values, so that two places can be compared without holding both. The same bars give the
 * same digest however they are cut into batches, and whether an unknown native column is absent or NaN.
 */
export class BarDigest {
  /** Bars added so far. */
  rows = 0
  private readonly columns: readonly Hash[] = Array.from(
    { length: 1 + priceFields.length + nativeFields.length },
    () => createHash('sha256'),
  )

  add(batch: BarBatch): this {
    const sources = [
      batch.openTimeMs,
      ...priceFields.map((field) => batch[field]),
      ...nativeFields.map((field) => batch.native[field]),
    ]
    const scratch = new Float64Array(batch.length)
    const bytes = new Uint8Array(scratch.buffer)
    sources.forEach((source, c) => {
      // One bit pattern each for zero and for unknown.
      if (source) for (let i = 0; i < scratch.length; i++) scratch[i] = plainNumber(source[i]!)
      else scratch.fill(Number.NaN)
      this.columns[c]!.update(bytes)
    })
    this.rows += batch.length
    return this
  }

  /** 64 hexadecimal characters. More bars may be added afterwards. */
  hex(): string {
    const all = createHash('sha256')
    for (const column of this.columns) all.update(column.copy().digest())
    return all.digest('hex')
  }
}

/** −0 as 0, and every NaN as the one NaN. */
export const plainNumber = (value: number): number => (Number.isNaN(value) ? Number.NaN : value + 0)

export const digestOf = (batch: BarBatch): string => new BarDigest().add(batch).hex()
