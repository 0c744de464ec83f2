import { isEverybarError, messageOf } from '../model/errors.ts'
import type { Clock } from '../model/events.ts'
import { parseSeries } from '../model/series.ts'
import { DAY_MS, type EpochMs, iso } from '../model/time.ts'
import { jobOf } from '../pipeline/house.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import type { PostgresStore } from '../store/postgres/postgres-store.ts'
import type { AppContext, Check } from './commands.ts'
import { openEmptyHouse } from './house.ts'
import { readLogin } from './kite-login.ts'
import { bigQueryStore, postgresStore } from './stores.ts'

/** Clocks this far apart are worth a word: finality goes by the venue's, but logs and certificates carry ours. */
const SKEW_WARN_MS = 2_000

/** `12 ms ahead`, `3 s behind`, `995 days ahead`. */
function apart(skewMs: number): string {
  const ms = Math.abs(skewMs)
  const [size, unit] = ms < 10_000 ? [1, 'ms'] : ms < 2 * DAY_MS ? [1_000, 's'] : [DAY_MS, 'days']
  return `${Math.round(ms / size)} ${unit} ${skewMs < 0 ? 'behind' : 'ahead'}`
}

/** What can be told about the venues: reachable, clock skew, weight used. The machine's own checks are the command's. */
export async function doctor(ctx: AppContext): Promise<readonly Check[]> {
  const house = await openEmptyHouse({ ...ctx, command: 'doctor' })
  const checks: Check[] = []
  try {
    const venues = new Venues(house)
    for (const { spec } of house.sources) {
      if (spec.venue === 'kite') continue
      const name = `${spec.venue}:${spec.markets.join(',')}`
      try {
        const job = jobOf(house, parseSeries(`${spec.venue}:${spec.markets[0]}:BTCUSDT:1h`))
        const { skewMs } = await venues.clockOf(job, ctx.signal)
        const usage = house.fetcher.usage().find(({ bucket }) => bucket === spec.bucket)
        const detail = `reachable; this clock is ${apart(skewMs)}; ${usage?.used ?? 0} of ${usage?.capacity ?? 0} weight used`
        const skewed = Math.abs(skewMs) > SKEW_WARN_MS
        checks.push(
          skewed
            ? { name, state: 'warn', detail, hint: 'Let the system keep its clock by NTP.' }
            : { name, state: 'pass', detail },
        )
      } catch (error) {
        const hint = isEverybarError(error) ? error.hint : 'Check the network and the base URL.'
        checks.push({ name, state: 'fail', detail: messageOf(error), hint })
      }
    }
    checks.push(...kiteLoginCheck(ctx, house.clock.nowMs()))
    for (const { name, open } of storesOf(ctx, house.clock)) checks.push(await storeCheck(name, open))
  } finally {
    await house[Symbol.asyncDispose]()
  }
  return checks
}

type Reachable = Pick<PostgresStore, 'planSchema' | typeof Symbol.asyncDispose>

function storesOf({ config, onEvent }: AppContext, clock: Clock) {
  const { postgres, bigquery } = config.stores
  const stores: { readonly name: string; readonly open: () => Promise<Reachable> }[] = []
  if (postgres) stores.push({ name: 'store postgres', open: () => postgresStore(postgres, onEvent) })
  if (bigquery) stores.push({ name: 'store bigquery', open: () => bigQueryStore(bigquery, clock, onEvent) })
  return stores
}

/** Whether a server answers, knows the user, and has a table bars can be written to, or room for one. */
async function storeCheck(name: string, open: () => Promise<Reachable>): Promise<Check> {
  try {
    const store = await open()
    try {
      const { statements } = await store.planSchema()
      const tables =
        statements.length === 0
          ? 'its table is as it should be'
          : 'its table is made or mended at the first commit'
      return { name, state: 'pass', detail: `reachable; ${tables}` }
    } finally {
      await store[Symbol.asyncDispose]()
    }
  } catch (error) {
    const hint = isEverybarError(error) ? error.hint : 'Check its settings under `stores:`.'
    return { name, state: 'fail', detail: messageOf(error), hint }
  }
}

/** Only where Kite is used: a login is there, or the configuration speaks of it. */
function kiteLoginCheck({ config }: AppContext, nowMs: EpochMs): readonly Check[] {
  const { api_key, access_token } = config.sources.kite
  const name = 'kite login'
  const hint = 'Run "everybar kite login".'
  try {
    if (access_token !== undefined) return [{ name, state: 'pass', detail: 'a token from the configuration' }]
    const login = readLogin(config.sources.kite)
    if (!login && !config.kite?.enabled && api_key === undefined) return []
    if (!login) return [{ name, state: 'warn', detail: 'none', hint }]
    const ends = iso(login.expiresAtMs)
    if (nowMs >= login.expiresAtMs) return [{ name, state: 'warn', detail: `ended at ${ends}`, hint }]
    return [{ name, state: 'pass', detail: `since ${iso(login.loggedInAtMs)}, until ${ends}` }]
  } catch (error) {
    return [
      { name, state: 'fail', detail: messageOf(error), hint: isEverybarError(error) ? error.hint : hint },
    ]
  }
}
