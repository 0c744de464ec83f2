import { compactLake } from '../pipeline/compact.ts'
import type { CompactReport } from './api.ts'
import type { AppContext } from './commands.ts'
import { openHouse } from './house.ts'

/** Folds what was appended to the lake into its month files. Asks nobody. */
export async function compact(ctx: AppContext): Promise<CompactReport> {
  const house = await openHouse({ ...ctx, access: 'mend', command: 'compact' })
  try {
    return await compactLake(house, house.lake, ctx.signal)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}
