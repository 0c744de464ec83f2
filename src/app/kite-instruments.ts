import type { InstrumentChanges, InstrumentFilter } from '../ledger/instruments.ts'
import { openInstrumentBook } from '../ledger/sqlite/instrument-book.ts'
import { isEverybarError } from '../model/errors.ts'
import type { HttpRequest } from '../model/http.ts'
import type { InstrumentEntry } from '../model/instrument-line.ts'
import { checkKite } from '../source/kite/check.ts'
import { type InstrumentDump, readInstruments } from '../source/kite/instruments.ts'
import { KITE_BUCKET, kiteLimits } from '../source/kite/sources.ts'
import type { Problem } from './api.ts'
import type { AppContext } from './commands.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { noteEnds } from './kite-ends.ts'
import { instrumentBookPath } from './kite-house.ts'
import { authorizationOf } from './kite-login.ts'
import { problemOf } from './report.ts'
import { writeKiteInstruments } from './stores.ts'

export interface InstrumentsReport extends Omit<InstrumentChanges, 'expired'> {
  readonly expired: number
  readonly exchanges: readonly string[]
  /** Lines that could not be read, and the first of them. */
  readonly badLines: number
  readonly badLine: string | null
  /** Rows written to the database, where one is configured. */
  readonly stored: number | null
  readonly problems: readonly Problem[]
}

export interface InstrumentsOptions {
  /** `NSE`, `BSE` …: those only; the list of all exchanges unless given. */
  readonly exchanges?: readonly string[]
  /** Takes a list in that is much shorter than the one before. */
  readonly accept?: boolean
}

/**
 * Takes the venue's daily list in. Instruments that left it are kept as expired; series of theirs are noted to have ended.
 *
 * @throws EverybarError what fetching throws, `source.login-expired`, `source.unreadable`, `ledger.list-too-short`.
 */
export async function syncInstruments(
  ctx: AppContext,
  options: InstrumentsOptions = {},
): Promise<InstrumentsReport> {
  const house = await openHouse({ ...ctx, access: 'write', command: 'instruments sync' })
  try {
    return await syncInstrumentsInto(house, options, ctx.signal)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** The same in a house that is open for writing. Throws as `syncInstruments`. */
export async function syncInstrumentsInto(
  house: OpenHouse,
  options: InstrumentsOptions,
  signal: AbortSignal,
): Promise<InstrumentsReport> {
  const dump = await fetchLists(house, options.exchanges ?? [], signal)
  const exchanges = [...new Set(dump.instruments.map(({ exchange }) => exchange))]
  const book = openInstrumentBook({ path: instrumentBookPath(house.root) })
  try {
    const seenAtMs = house.clock.nowMs()
    const accept = options.accept ?? false
    const { expired, ...changes } = book.update('kite', dump.instruments, { seenAtMs, exchanges, accept })
    house.instrumentsChanged?.()
    await noteEnds(house, book.list({ venue: 'kite', gone: 'only' }))
    for (const { token, from, to } of changes.newOwners)
      house.onEvent({ event: 'token_changed_owner', level: 'warn', token, from, to })
    for (const { exchange, symbol, from, to } of changes.newTokens)
      house.onEvent({ event: 'symbol_changed_token', level: 'warn', exchange, symbol, from, to })
    return {
      ...changes,
      expired: expired.length,
      exchanges,
      badLines: dump.badCount,
      badLine: dump.badLines[0] ? `line ${dump.badLines[0].line}: ${dump.badLines[0].detail}` : null,
      ...(await storeList(house, book.list({ venue: 'kite', gone: 'also' }))),
    }
  } finally {
    book[Symbol.dispose]()
  }
}

/** Instruments the root knows, by exchange and symbol. */
export async function listInstruments(
  ctx: AppContext,
  filter: InstrumentFilter,
): Promise<readonly InstrumentEntry[]> {
  const book = openInstrumentBook({ path: instrumentBookPath(ctx.config.root), readOnly: true })
  try {
    return book.list(filter)
  } finally {
    book[Symbol.dispose]()
  }
}

async function fetchLists(
  { fetcher, config, clock }: OpenHouse,
  exchanges: readonly string[],
  signal: AbortSignal,
): Promise<InstrumentDump> {
  fetcher.setLimits(kiteLimits(config.kite?.rate_limit))
  const authorization = authorizationOf(config.sources.kite, clock.nowMs)
  const dumps: InstrumentDump[] = []
  for (const path of exchanges.length === 0
    ? ['']
    : exchanges.map((exchange) => `/${exchange.toUpperCase()}`)) {
    const request: HttpRequest = {
      url: `${config.sources.kite.base_url}/instruments${path}`,
      headers: { 'X-Kite-Version': '3', Authorization: authorization(), Accept: 'text/csv' },
      bucket: KITE_BUCKET,
      weight: 1,
    }
    const { body } = await fetcher.fetch(request, { check: checkKite, signal })
    dumps.push(readInstruments(body))
  }
  return {
    instruments: dumps.flatMap(({ instruments }) => instruments),
    badLines: dumps.flatMap(({ badLines }) => badLines),
    badCount: dumps.reduce((sum, { badCount }) => sum + badCount, 0),
  }
}

/** A database that cannot be reached holds nothing up: the next run brings it level. */
async function storeList(
  { config, onEvent }: OpenHouse,
  entries: readonly InstrumentEntry[],
): Promise<Pick<InstrumentsReport, 'stored' | 'problems'>> {
  const { postgres } = config.stores
  if (!postgres) return { stored: null, problems: [] }
  try {
    return { stored: await writeKiteInstruments(postgres, entries, onEvent), problems: [] }
  } catch (error) {
    if (!isEverybarError(error)) throw error
    return { stored: null, problems: [problemOf(error)] }
  }
}
