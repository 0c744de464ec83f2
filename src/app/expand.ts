import { EverybarError } from '../model/errors.ts'
import { parseSeries, type Series, series as seriesOf } from '../model/series.ts'
import type { AppContext } from './commands.ts'
import { openEmptyHouse } from './house.ts'

/**
 * Selectors whose symbol holds `*` (any characters) or `?` (one) become every symbol of the venue's market they match,
 * in the venue's order; others stand for themselves. Each market is asked once.
 *
 * @throws EverybarError `series.no-match` (abort) when a pattern matches nothing; `series.no-list` (abort) for venues that
 *   cannot list their symbols.
 */
export async function expandSelectors(
  ctx: AppContext,
  patterns: readonly string[],
): Promise<readonly Series[]> {
  const parsed = patterns.map(parseSeries)
  if (!parsed.some(isPattern)) return parsed
  const house = await openEmptyHouse({ ...ctx, command: 'expand' })
  try {
    const lists = new Map<string, Promise<readonly string[]>>()
    const all: Series[] = []
    for (const one of parsed) {
      if (!isPattern(one)) all.push(one)
      else {
        const market = `${one.instrument.venue}:${one.instrument.market}`
        const list = lists.get(market) ?? symbolsOf(house, one, ctx.signal)
        lists.set(market, list)
        all.push(...matches(one, await list))
      }
    }
    return all
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

const isPattern = ({ instrument }: Series): boolean => /[*?]/.test(instrument.symbol)

type Asking = Awaited<ReturnType<typeof openEmptyHouse>>

async function symbolsOf(
  { sources, fetcher, venues, clock, onEvent }: Asking,
  one: Series,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { venue, market } = one.instrument
  const source = sources.find(
    ({ spec, instruments }) => instruments && spec.venue === venue && spec.markets.includes(market),
  )
  if (!venues.isNative(one)) return venues.symbolsOf(venue, market, { fetcher, clock, onEvent, signal })
  if (!source?.instruments) {
    throw new EverybarError('series.no-list', `${venue}:${market} cannot list its symbols`, {
      recovery: 'abort',
      hint: 'Name each series, or put them in a file for --series-file.',
    })
  }
  fetcher.assumeLimits(source.spec.limits)
  const response = await fetcher.fetch(await source.instruments.request(market), {
    check: source.check,
    signal,
  })
  return (await source.instruments.decode(response.body)).map(({ symbol }) => symbol)
}

function matches(pattern: Series, symbols: readonly string[]): Series[] {
  const { instrument, timeframe, price } = pattern
  const source = instrument.symbol
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  const like = new RegExp(`^${source}$`, 'u')
  const found = symbols.filter((symbol) => like.test(symbol))
  if (found.length === 0) {
    throw new EverybarError(
      'series.no-match',
      `no symbol of ${instrument.venue}:${instrument.market} matches ${instrument.symbol}`,
      {
        recovery: 'abort',
        hint: 'Case counts: the venue writes BTCUSDT. * stands for any characters, ? for one.',
      },
    )
  }
  return found.map((symbol) => seriesOf({ ...instrument, symbol }, timeframe, price))
}
