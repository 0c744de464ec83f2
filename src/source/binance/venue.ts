import type { HttpRequest } from '../../model/http.ts'
import { isRecord, jsonOf, unreadable } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show } from '../read.ts'
import type { RateLimit, VenueInfo } from '../source.ts'

/** A GET of a public endpoint. Parameters in the order given, percent-encoded as UTF-8. */
export function getRequest(
  at: { readonly baseUrl: string; readonly path: string; readonly bucket: string; readonly weight: number },
  parameters: Readonly<Record<string, string | number>>,
): HttpRequest {
  const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const suffix = query.length === 0 ? '' : `?${query.join('&')}`
  return { url: `${at.baseUrl.replace(/\/+$/, '')}${at.path}${suffix}`, bucket: at.bucket, weight: at.weight }
}

const intervalMs: Readonly<Record<string, number>> = {
  SECOND: 1_000,
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: 86_400_000,
}
const counted: Readonly<Record<string, 'weight' | 'requests'>> = {
  REQUEST_WEIGHT: 'weight',
  RAW_REQUESTS: 'requests',
}

/**
 * The venue's clock and its limits on requests, from `exchangeInfo`. Limits of other kinds (orders) are left out.
 *
 * @throws EverybarError `source.unreadable` (quarantine) when the time is missing or no time.
 */
export function readVenueInfo(body: Uint8Array, bucket: string): VenueInfo {
  const json = jsonOf(body)
  if (!isRecord(json)) throw unreadable('exchangeInfo is no object')
  const venueTimeMs = decimalOrNaN(json.serverTime)
  if (!isEpochMs(venueTimeMs)) throw unreadable(`serverTime is ${show(json.serverTime)}`)
  const listed = Array.isArray(json.rateLimits) ? (json.rateLimits as unknown[]) : []
  return { venueTimeMs, limits: listed.flatMap((limit) => readLimit(limit, bucket)) }
}

function readLimit(limit: unknown, bucket: string): RateLimit[] {
  if (!isRecord(limit)) return []
  const counts = counted[String(limit.rateLimitType)]
  const unitMs = intervalMs[String(limit.interval)]
  const windowMs = decimalOrNaN(limit.intervalNum) * (unitMs ?? Number.NaN)
  const capacity = decimalOrNaN(limit.limit)
  if (counts === undefined || !(windowMs > 0) || !(capacity > 0)) return []
  return [{ bucket, capacity, windowMs, counts }]
}

/** The symbols of an `exchangeInfo` body. A status we do not know is passed on as it is. */
export function readSymbols(
  body: Uint8Array,
): readonly { readonly symbol: string; readonly status: string }[] {
  const json = jsonOf(body)
  if (!isRecord(json) || !Array.isArray(json.symbols)) throw unreadable('exchangeInfo without symbols')
  return json.symbols.flatMap((entry: unknown) =>
    isRecord(entry) && typeof entry.symbol === 'string' && entry.symbol !== ''
      ? [{ symbol: entry.symbol, status: String(entry.status ?? '') }]
      : [],
  )
}
