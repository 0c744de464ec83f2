import type { AnswerMeta } from '../archive/archive.ts'
import { isEverybarError } from '../model/errors.ts'
import { parseCompositeKey, type Slice, slice } from '../model/slice.ts'
import type { Source } from '../source/source.ts'
import type { SeriesJob } from './house.ts'

/** The slice an answer answers, of any page size; `undefined` when that is none of this series. */
export async function sliceAnswered(
  job: SeriesJob,
  { sliceKey, url }: Pick<AnswerMeta, 'sliceKey' | 'url'>,
): Promise<Slice | undefined> {
  const parsed = parseCompositeKey(sliceKey)
  if (!parsed || parsed.symbol !== job.series.instrument.symbol) return undefined
  if (parsed.timeframe !== job.series.timeframe) return undefined
  const own = slice(job.series, job.source.spec.id, parsed.range, parsed.limit)
  return (await wasAskedOfAnother(job, own, url)) ? undefined : own
}

/**
 * A key does not name the market, and a symbol of one is often one of another: the address tells whose answer it is. An
 * address that none of the venue's endpoints would ask today is left alone: venues move, libraries build other ones.
 */
async function wasAskedOfAnother(job: SeriesJob, own: Slice, url: string): Promise<boolean> {
  if (await wouldAsk(job.source, own, url)) return false
  const { instrument } = own.series
  for (const source of job.others) {
    for (const market of source.spec.markets) {
      const series = { ...own.series, instrument: { ...instrument, market } }
      if (await wouldAsk(source, { ...own, series }, url)) return true
    }
  }
  return false
}

/** Whether an endpoint asks at this address for a slice or a part of it, whatever the host and what stands before the path. */
async function wouldAsk(source: Source, { series, range, limit }: Slice, url: string): Promise<boolean> {
  const addressOf = async (shiftMs: number) => {
    const shifted = { startMs: range.startMs + shiftMs, endMs: range.endMs + shiftMs }
    return new URL((await source.request({ series, range: shifted, limit })).url)
  }
  try {
    const was = new URL(url)
    const now = await addressOf(0)
    if (!was.pathname.endsWith(now.pathname) && !now.pathname.endsWith(was.pathname)) return false
    const differs = differing(was, now)
    return differs.length === 0 || isSubset(differs, differing(now, await addressOf(1_000)))
  } catch (error) {
    if (!isEverybarError(error) && !(error instanceof TypeError)) throw error
    return false // not one that can be asked for, or no address
  }
}

/** Names of the parameters that two addresses do not have alike. */
function differing(a: URL, b: URL): string[] {
  const names = new Set([...a.searchParams.keys(), ...b.searchParams.keys()])
  return [...names].filter((name) => a.searchParams.get(name) !== b.searchParams.get(name))
}

const isSubset = (some: readonly string[], all: readonly string[]): boolean =>
  some.every((one) => all.includes(one))
