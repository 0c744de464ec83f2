import { setImmediate as breathe } from 'node:timers/promises'
import type { Clock } from '../model/events.ts'
import type { HouseReadings } from '../telemetry/house-metrics.ts'
import type { OpenHouse } from './house.ts'
import { jobsOf, offlineGaps, offlineRange } from './inspect.ts'
import { standing } from './live-state.ts'
import { missingByClass } from './report.ts'
import type { ServiceState } from './service.ts'

export interface ReadingOptions {
  readonly state: () => ServiceState
  readonly droppedLogLines?: () => number
}

/** What is counted over the whole ledger is counted so often at most, however often somebody looks. */
const COUNT_EVERY_MS = 60_000

/** What the metrics of a service are read from. */
export function serviceReadings(house: OpenHouse, { state, droppedLogLines }: ReadingOptions): HouseReadings {
  const counted = soOften(house.clock, COUNT_EVERY_MS, () => countLedger(house))
  return {
    usage: () => house.fetcher.usage(),
    waitedMs: () => house.fetcher.stats().waitedMs,
    lags: async () =>
      (state().live?.series ?? []).flatMap(({ series, lagMs }) =>
        lagMs === null ? [] : [{ series, seconds: lagMs / 1_000 }],
      ),
    watched: () => countBy(state().live?.series ?? [], standing),
    storesBehind: () => {
      const lacking = (state().live?.series ?? []).flatMap(({ behind }) => behind)
      return Object.fromEntries(
        house.stores.map(({ name }) => [name, lacking.filter((one) => one === name).length]),
      )
    },
    gaps: async () => (await counted()).gaps,
    slices: async () => (await counted()).slices,
    jobs: () => state().jobs,
    ...(droppedLogLines && { droppedLogLines }),
  }
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = { level: 0, behind: 0, waiting: 0 }
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1
  return counts
}

/** Missing bars by class and slices by status, over all series there are. Lets others work between two series. */
async function countLedger(house: OpenHouse) {
  const gaps: Record<string, number> = {}
  const slices: Record<string, number> = {}
  const add = (sums: Record<string, number>, counts: object) => {
    for (const [name, count] of Object.entries(counts) as [string, number][])
      sums[name] = (sums[name] ?? 0) + count
  }
  for (const job of await jobsOf(house, [])) {
    await breathe()
    add(slices, await house.ledger.counts(job.ref))
    const range = await offlineRange(house, job, {}).catch(() => undefined)
    if (range) add(gaps, missingByClass(await offlineGaps(house, job, range)))
  }
  return { gaps, slices }
}

/** The same answer for a while; who asks meanwhile shares it, and one that fails is not kept. */
export function soOften<T>(clock: Clock, everyMs: number, read: () => Promise<T>): () => Promise<T> {
  let last: { readonly atMs: number; readonly value: Promise<T> } | undefined
  return () => {
    const now = clock.monotonicMs()
    if (last && now - last.atMs < everyMs) return last.value
    const value = read()
    const mine = { atMs: now, value }
    last = mine
    value.catch(() => {
      if (last === mine) last = undefined
    })
    return value
  }
}
