import type { Archive, ArchiveFolder } from '../archive/archive.ts'
import type { ChunkEndpoint } from '../chunking/definitions.ts'
import { ChunkExecutor } from '../chunking/executor.ts'
import type { ChunkCall, ChunkPage, FetchPage } from '../chunking/page.ts'
import type { Cursor } from '../chunking/plan.ts'
import { ChunkPlanner } from '../chunking/planner.ts'
import type { ChunkSummary } from '../chunking/result.ts'
import type { HttpRequest } from '../model/http.ts'
import { sliceId } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import type { Answer } from '../source/answer.ts'
import type { House } from './house.ts'

/** An endpoint whose pages are kept as they come, and are not bars: its metadata and its pure functions. */
export interface RawEndpoint<T> {
  readonly spec: ChunkEndpoint & { readonly id: string }
  readonly request: (params: ChunkCall['params']) => HttpRequest
  readonly check: (answer: Answer) => void
  readonly read: (body: Uint8Array, limit: number) => ChunkPage<T>
  readonly keyOf: (point: T) => number
}

export interface CollectOptions<T> {
  readonly endpoint: RawEndpoint<T>
  readonly folder: ArchiveFolder
  /** Where to begin; pages begin at whole multiples of a page, so that another start finds the same pages. */
  readonly fromId: number
  /** Points with smaller ids are not handed over. */
  readonly firstId?: number
  /** Points outside of it are not handed over; the run ends with the first page that lies past it. */
  readonly range?: TimeRange
  readonly limit?: number
  readonly venueNowMs: () => EpochMs
  /** Called with the points of each page, in order. */
  readonly onPoints?: (points: readonly T[]) => void | Promise<void>
  readonly signal?: AbortSignal
}

/** What a run came to. `weightConsumed` is that of the pages that were asked for. */
export interface Collected extends ChunkSummary {
  readonly pagesFetched: number
  /** Whole pages that were in the archive already. */
  readonly pagesReused: number
}

/**
 * Pages by id through the same planner and executor as bars. Each page is archived before it is read; a whole page never
 * changes and is not asked for again. Holds one page.
 */
export async function collectPages<T>(
  house: Pick<House, 'fetcher' | 'archive' | 'clock' | 'onEvent'>,
  options: CollectOptions<T>,
): Promise<Collected> {
  const { endpoint, range, limit, signal, onPoints } = options
  const { clock, onEvent } = house
  const run = new ChunkPlanner(endpoint.spec, { clock, onEvent }).plan({
    symbol: options.folder.symbol,
    cursor: options.fromId,
    ...range,
    ...(limit !== undefined && { limit }),
  })
  const pages = { pagesFetched: 0, pagesReused: 0 }
  const executor = new ChunkExecutor<T>({ clock, onEvent, keyOf: endpoint.keyOf })
  const chunks = executor.iterate(run, archivedPages(house, options, pages), signal ? { signal } : {})
  for (;;) {
    const next = await chunks.next()
    if (next.done) return { ...next.value, ...pages }
    await onPoints?.(next.value.data)
  }
}

/** A page from the archive where it is there and whole, else from the venue, and then kept. */
function archivedPages<T>(
  { fetcher, archive }: Pick<House, 'fetcher' | 'archive'>,
  { endpoint, folder, firstId = 0, venueNowMs }: CollectOptions<T>,
  pages: { pagesFetched: number; pagesReused: number },
): FetchPage<T> {
  const size = pageSizeOf(endpoint.spec)
  const wanted = ({ points, ...rest }: ChunkPage<T>): ChunkPage<T> => ({
    ...rest,
    points: points.filter((point) => endpoint.keyOf(point) >= firstId),
  })
  const idField = endpoint.spec.chunkHint.cursorField ?? 'cursor'
  return async ({ cursor = 0 }, { signal }) => {
    const key = pageKey(folder.symbol, cursor, size)
    const slice = { key, id: sliceId(key) }
    const kept = await wholePage(archive, endpoint, folder, slice.id, size)
    if (kept) {
      pages.pagesReused++
      return { ...wanted(kept), weight: 0 }
    }
    const request = endpoint.request({
      [idField]: cursor,
      [endpoint.spec.chunkHint.limitField ?? 'limit']: size,
    })
    const venueTimeMs = venueNowMs()
    const response = await fetcher.fetch(request, { check: endpoint.check, signal })
    await archive.put(folder, slice, response, venueTimeMs)
    pages.pagesFetched++
    return { ...wanted(endpoint.read(response.body, size)), weight: request.weight }
  }
}

async function wholePage<T>(
  archive: Archive,
  endpoint: RawEndpoint<T>,
  folder: ArchiveFolder,
  id: string,
  size: number,
): Promise<ChunkPage<T> | undefined> {
  const kept = await archive.get(folder, id)
  if (!kept) return undefined
  const page = endpoint.read(kept.body, size)
  return page.points.length >= size ? page : undefined
}

/** `BTCUSDT:by-id:7000:1000`: what a page's file is named after. */
export const pageKey = (symbol: string, fromId: Cursor, size: number): string =>
  `${symbol}:by-id:${fromId}:${size}`

export const pageSizeOf = ({ chunkPolicy }: ChunkEndpoint): number =>
  (typeof chunkPolicy === 'function' ? chunkPolicy({ timeframe: '' }) : chunkPolicy).maxPoints
