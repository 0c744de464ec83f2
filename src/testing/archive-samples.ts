import type { ArchiveFolder } from '../archive/archive.ts'
import type { RawResponse } from '../model/http.ts'
import { series } from '../model/series.ts'
import { type Slice, slice } from '../model/slice.ts'
import { timeRange } from '../model/time.ts'

const at = 1_704_067_200_000

/** The n-th slice of a folder's series. */
export function sliceOf(folder: ArchiveFolder, n = 0): Slice {
  const instrument = { venue: folder.venue, market: 'spot', symbol: folder.symbol }
  const span = 60_000_000
  return slice(
    series(instrument, folder.timeframe),
    `${folder.venue}.${folder.directory}`,
    timeRange(at + n * span, at + (n + 1) * span),
    1000,
  )
}

export function response(body: string | Uint8Array, fields: Partial<RawResponse> = {}): RawResponse {
  return {
    url: 'https://venue.test/klines?symbol=BTCUSDT',
    status: 200,
    headers: {},
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    requestedAtMs: at + 1,
    receivedAtMs: at + 250,
    attempts: 1,
    ...fields,
  }
}
