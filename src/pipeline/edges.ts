import { EverybarError } from '../model/errors.ts'
import type { HttpRequest, RawResponse } from '../model/http.ts'
import type { EpochMs } from '../model/time.ts'
import { iso } from '../model/time.ts'
import type { House, SeriesJob } from './house.ts'

/** Where a series begins or ends at the venue, and how that is known. */
export interface Edge {
  /** `null`: the venue answered that it has no bar at all. */
  readonly openTimeMs: EpochMs | null
  /** By the venue's clock, where its answer is dated. */
  readonly askedAtMs: EpochMs
  /** The request, without secrets, and the start of its answer. */
  readonly url: string
  readonly answer: string
  /** What shows it, where no bar was asked for. */
  readonly evidence?: string
}

export type EdgeName = 'first-bar' | 'last-bar'

/** What is known of an edge, without asking. */
export async function knownEdge(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
  name: EdgeName,
): Promise<Edge | undefined> {
  return (await house.ledger.getFact(job.ref, name)) as Edge | undefined
}

/**
 * The edge of a series, asked of the venue once and kept as evidence in the ledger. `undefined` for endpoints that
 * cannot be asked.
 */
export async function askEdge(
  house: House,
  job: SeriesJob,
  name: EdgeName,
  signal?: AbortSignal,
): Promise<Edge | undefined> {
  const edge = await askOnce(house, job, name, signal)
  if (!edge) return undefined
  await house.ledger.putFact(job.ref, name, { ...edge })
  house.onEvent({ event: name.replace('-', '_'), series: job.id, open_time_ms: edge.openTimeMs })
  return edge
}

async function askOnce(
  house: House,
  { source, series }: SeriesJob,
  name: EdgeName,
  signal: AbortSignal | undefined,
): Promise<Edge | undefined> {
  let last: RawResponse | undefined
  const ask = async (request: HttpRequest) => {
    last = await house.fetcher.fetch(request, { check: source.check, ...(signal && { signal }) })
    return last
  }
  const probe = name === 'first-bar' ? source.firstBar : source.lastBar
  const openTimeMs = probe
    ? await probe.decode((await ask(await probe.request(series))).body, series)
    : await (name === 'first-bar' ? source.searchFirstBar : undefined)?.(series, {
        ask,
        nowMs: house.clock.nowMs(),
      })
  return last === undefined
    ? undefined
    : {
        openTimeMs: openTimeMs ?? null,
        askedAtMs: venueTimeOf(last),
        url: last.url,
        answer: new TextDecoder().decode(last.body.subarray(0, 512)),
      }
}

function venueTimeOf({ headers, receivedAtMs }: RawResponse): EpochMs {
  const datedMs = Date.parse(headers.date ?? '')
  return Number.isFinite(datedMs) ? datedMs : receivedAtMs
}

/**
 * The first bar the ledger knows, unless it has to be asked for again: another address may have told it, and an answer that
 * holds an earlier bar contradicts it.
 */
export async function trustedFirst(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
): Promise<EpochMs | undefined> {
  const edge = await knownEdge(house, job, 'first-bar')
  if (edge?.openTimeMs == null || (await isElsewhere(job, edge))) return undefined
  return (await isContradicted(house, job, edge)) ? undefined : edge.openTimeMs
}

/** Whether an answer holds a bar before the one that was told to be the first. */
export async function isContradicted(
  { ledger }: Pick<House, 'ledger'>,
  { ref }: SeriesJob,
  { openTimeMs }: Edge,
): Promise<boolean> {
  if (openTimeMs === null) return false
  for await (const { firstMs } of ledger.slices(ref, { startMs: 0, endMs: openTimeMs }))
    if (firstMs !== null && firstMs < openTimeMs) return true
  return false
}

async function isElsewhere({ source, series }: SeriesJob, { url }: Edge): Promise<boolean> {
  if (!source.firstBar || !URL.canParse(url)) return false
  const asked = new URL((await source.firstBar.request(series)).url)
  const told = new URL(url)
  return asked.origin !== told.origin || asked.pathname !== told.pathname
}

/**
 * The first bar of a series: from the ledger, else asked of the venue.
 *
 * @throws EverybarError `sync.no-bars` (abort) when the venue answers that there is none: an empty answer is no
 *   evidence of anything until the venue has shown that it knows the series.
 */
export async function firstBar(
  house: House,
  job: SeriesJob,
  signal?: AbortSignal,
): Promise<EpochMs | undefined> {
  const known = await trustedFirst(house, job)
  if (known !== undefined) return known
  const edge = await askEdge(house, job, 'first-bar', signal)
  if (edge && edge.openTimeMs === null) {
    throw new EverybarError('sync.no-bars', `the venue says it has no ${job.id} bars at all`, {
      recovery: 'abort',
      hint: 'Check the symbol and the market. If it has just been listed, run again after its first bar has closed.',
    })
  }
  return edge?.openTimeMs ?? undefined
}

export const describeEdge = (name: EdgeName, edge: Edge): string =>
  edge.evidence ??
  `the venue's ${name === 'first-bar' ? 'first' : 'last'} bar opens ${iso(edge.openTimeMs ?? 0)}, asked ${iso(edge.askedAtMs)}`
