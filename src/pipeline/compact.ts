import { isEverybarError } from '../model/errors.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { Compacted, Fold, Lake } from '../store/lake.ts'
import { remakeAltered } from './altered-months.ts'
import { type House, jobOf } from './house.ts'

type CompactHouse = Pick<House, 'sources' | 'archive' | 'ledger' | 'turns' | 'onEvent'>

/**
 * Folds what was appended to the lake into its month files, and lets the ledger know of those before a delta file goes:
 * a stop at any moment leaves nothing for `verify` to find. Each series in its turn, where several pieces of work share
 * the house. No request; repeating it is harmless.
 *
 * @throws EverybarError `store.corrupt` (abort) for a damaged delta file, before anything is folded; as `Lake.compact` does.
 */
export async function compactLake(house: CompactHouse, lake: Lake, signal?: AbortSignal): Promise<Compacted> {
  const { ledger, turns, onEvent } = house
  const known = new Map((await ledger.series()).map((series) => [series.seriesId, series]))
  let madeAgain = false
  const foldAndRecord = async (series: Series, fold: Fold) => {
    const files = await foldOnto(house, lake, series, fold, () => {
      madeAgain = true
    })
    const ref = known.get(seriesId(series))
    if (ref) await ledger.recordStored(ref, lake.name, [], files)
  }
  const options = {
    each: (series: Series, fold: Fold) => {
      const work = () => foldAndRecord(series, fold)
      return turns ? turns.run(seriesId(series), work) : work()
    },
    ...(signal && { signal }),
  }
  const done = await lake.compact(options)
  // Making a month again wrote delta files anew without it, which that compaction did not know.
  if (madeAgain) await lake.compact(options)
  onEvent({ event: 'lake_compacted', level: done.files > 0 ? 'info' : 'debug', ...done })
  return done
}

/** Months of it that somebody altered are made again from the archive, with what waits for them. */
async function foldOnto(
  house: CompactHouse,
  lake: Lake,
  series: Series,
  fold: Fold,
  onMadeAgain: () => void,
): ReturnType<Fold> {
  try {
    return await fold()
  } catch (error) {
    if (!isEverybarError(error, 'store.altered')) throw error
    await remakeAltered(house, jobOf(house, series), lake, await lake.pendingBars(series), error)
    onMadeAgain()
    return fold()
  }
}
