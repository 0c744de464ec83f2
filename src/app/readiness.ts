import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { iso } from '../model/time.ts'
import { jobOf } from '../pipeline/house.ts'
import type { Store } from '../store/store.ts'
import type { Selection } from './api.ts'
import type { OpenHouse } from './house.ts'
import { freshness } from './inspect.ts'
import type { LiveSeriesState } from './live-state.ts'
import type { Service, ServiceState } from './service.ts'
import { soOften } from './service-readings.ts'

export interface ReadyCheck {
  /** `watching`, `fresh`, `ledger`, `root`, `store:postgres` … */
  readonly name: string
  readonly ok: boolean
  /** What is wrong; absent where nothing is. */
  readonly message?: string
}

export interface Readiness {
  /** Every check is well. */
  readonly ready: boolean
  readonly checks: readonly ReadyCheck[]
}

/** What does not answer for so long is taken to be down. */
const ANSWER_MS = 3_000
/** However often somebody asks, rooms are looked at so often at most. */
const LOOK_EVERY_MS = 2_000
/** Series named in a message. */
const NAMED_MAX = 5

/**
 * Whether a service does what it is for: something is watched, no series is late beyond `serve.overdue_max_seconds`, and
 * the ledger, the root and every store answer. Nothing watched is never ready.
 */
export function readinessOf({ house, selection, state }: Pick<Service, 'house' | 'selection' | 'state'>) {
  return soOften(house.clock, LOOK_EVERY_MS, async (): Promise<Readiness> => {
    const now = state()
    const some = selection.series[0]
    const checks = await Promise.all([
      check('watching', async () => watches(now)),
      check('fresh', () => isFresh(house, selection, now)),
      check('ledger', () => inTime(() => house.ledger.runs(1))),
      check('root', () => inTime(() => access(house.root, constants.W_OK))),
      ...house.stores.map((store) => check(`store:${store.name}`, () => inTime(() => reach(store, some)))),
    ])
    return { ready: checks.every(({ ok }) => ok), checks }
  })
}

async function check(name: string, look: () => Promise<unknown>): Promise<ReadyCheck> {
  try {
    await look()
    return { name, ok: true }
  } catch (error) {
    const code = isEverybarError(error) ? `${error.code}: ` : ''
    return { name, ok: false, message: `${code}${messageOf(error)}` }
  }
}

const reach = async (store: Store, some: Service['selection']['series'][number] | undefined) =>
  some && store.extent(some)

/** A room of this machine is given time by this machine, however fast the clock of the house runs. */
async function inTime<T>(work: () => Promise<T>): Promise<T> {
  const over = new AbortController()
  const late = sleep(ANSWER_MS, undefined, { signal: over.signal, ref: false }).then(() => {
    throw unready(`no answer for ${ANSWER_MS / 1_000} s`)
  })
  late.catch(() => {}) // when it was not late
  try {
    return await Promise.race([work(), late])
  } finally {
    over.abort()
  }
}

/** Jobs that fetch watch too: what they fetch is told by their runs. */
function watches({ live, jobs }: ServiceState): void {
  const fetching = jobs.some(({ run }) => run === 'sync' || run === 'kite')
  if (!live || live.series.length === 0) {
    if (fetching) return
    throw unready('nothing is watched: no series is followed, and no job fetches any')
  }
  const reached = live.series.filter(({ doneMs }) => doneMs !== null)
  if (reached.length > 0) return
  const [error] = live.series.flatMap(({ lastError }) => lastError ?? [])
  const why = error ? `; ${error.code}: ${error.message}` : ''
  throw unready(`none of ${live.series.length} series has been reached since ${iso(live.startedAtMs)}${why}`)
}

async function isFresh(house: OpenHouse, selection: Selection, { live }: ServiceState): Promise<void> {
  if (!live) return
  const limitMs = house.config.serve.overdue_max_seconds * 1_000
  const late: LiveSeriesState[] = []
  for (const one of live.series)
    if ((await overdueMs(house, selection, one, live.startedAtMs)) > limitMs) late.push(one)
  if (late.length === 0) return
  const named = late.slice(0, NAMED_MAX).map(({ series, doneMs, lastError }) => {
    const upTo = doneMs === null ? 'not reached yet' : `complete up to ${iso(doneMs)}`
    return `${series} ${upTo}${lastError ? ` (${lastError.code})` : ''}`
  })
  const more = late.length > NAMED_MAX ? ` and ${late.length - NAMED_MAX} more` : ''
  throw unready(`${late.length} of ${live.series.length} series late: ${named.join(', ')}${more}`)
}

/** How long the first bar a series lacks has been due; from the start for one that was not reached yet. */
async function overdueMs(
  house: OpenHouse,
  selection: Selection,
  { series, doneMs, lagMs }: LiveSeriesState,
  startedAtMs: number,
): Promise<number> {
  if (doneMs === null) return house.clock.nowMs() - startedAtMs
  if (lagMs === 0) return 0 // by the venue's own clock
  const job = jobOf(house, house.venues.canonical(parseSeries(series)))
  return (await freshness(house, job, selection))?.overdueMs ?? 0
}

const unready = (message: string): EverybarError =>
  new EverybarError('serve.not-ready', message, {
    recovery: 'retry',
    hint: 'See /api/v1/status, or "everybar status" and the log.',
  })
