import { dirname, join } from 'node:path'
import type { Archive } from '../archive/archive.ts'
import type { Config } from '../config/schema.ts'
import type { LedgerSeries } from '../ledger/ledger.ts'
import { exportManifest, exportState } from '../ledger/manifest-export.ts'
import type { ManifestPlace } from '../ledger/manifest-format.ts'
import { isEverybarError } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { type Fault, repairHint } from '../pipeline/fault.ts'
import { type House, jobOf } from '../pipeline/house.ts'
import type { Source } from '../source/source.ts'
import { nodeFileSystem } from './filesystem.ts'

/** Any id: only the folders of the answer's path are looked at. */
const SOME_ID = '0'.repeat(32)

/** Where a series' `manifest.json` lies, beside its answers, and what it says at its head. */
export function manifestPlace(
  root: string,
  rooms: { readonly archive: Pick<Archive, 'pathOf'>; readonly sources: readonly Source[] },
  { seriesId }: LedgerSeries,
): ManifestPlace {
  const { folder, slices } = jobOf(rooms, parseSeries(seriesId))
  const responses = dirname(rooms.archive.pathOf(folder, SOME_ID))
  const home = dirname(responses)
  return {
    path: join(root, home, 'manifest.json'),
    endpoint: folder.directory,
    symbol: folder.symbol,
    interval: folder.timeframe,
    limit: slices.limit,
    relativePath: (id) => rooms.archive.pathOf(folder, id).slice(home.length + 1),
  }
}

/** What is wrong with a series' exported manifest. One that is older than the ledger is only late. */
export async function manifestFaults(
  house: Pick<House, 'ledger' | 'archive' | 'sources'> & { readonly root: string; readonly config: Config },
  series: LedgerSeries,
): Promise<Fault[]> {
  if (house.config.ledger !== 'sqlite') return []
  const place = manifestPlace(house.root, house, series)
  const state = await exportState({ ledger: house.ledger, series, place, files: nodeFileSystem })
  if (state === 'level') return []
  const path = place.path.slice(house.root.length + 1)
  const detail = state === 'missing' ? 'the exported manifest is gone' : 'it is not what the ledger exported'
  return [{ kind: 'ledger.manifest-differs', series: series.seriesId, path, detail, hint: repairHint }]
}

/**
 * Brings the manifests of these series level with the ledger. They are copies for people and other tools: one that
 * cannot be written is reported, and fails nothing.
 */
export async function exportManifests(
  house: Pick<House, 'ledger' | 'archive' | 'sources' | 'onEvent'> & { readonly root: string },
  refs: readonly LedgerSeries[],
  { anew = false } = {},
): Promise<void> {
  for (const series of refs) {
    try {
      const place = manifestPlace(house.root, house, series)
      const written = await exportManifest({
        ledger: house.ledger,
        series,
        place,
        files: nodeFileSystem,
        anew,
      })
      if (written)
        house.onEvent({
          event: 'manifest_written',
          level: 'debug',
          series: series.seriesId,
          path: place.path,
        })
    } catch (error) {
      if (!isEverybarError(error)) throw error
      const { code, message } = error
      house.onEvent({ event: 'manifest_failed', level: 'error', series: series.seriesId, code, message })
    }
  }
}
