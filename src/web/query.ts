import type { Selection } from '../app/api.ts'
import type { OpenHouse } from '../app/house.ts'
import { type BarFormat, barFormats } from '../app/read-bars.ts'
import { EverybarError } from '../model/errors.ts'
import { parseSeries, type Series, seriesId } from '../model/series.ts'
import { type EpochMs, type TimeRange, timeRange } from '../model/time.ts'
import { floorToBar, shiftBars, type Timeframe } from '../model/timeframe.ts'
import { readWhen, type When, whenHint } from '../model/when.ts'
import { type EventLevel, eventLevels } from './event-feed.ts'
import { badParameter } from './problem.ts'

/** Series in one answer, and gaps, and bars, unless said. */
export const defaults = { series: 100, gaps: 1_000, bars: 10_000 } as const
const most = { series: 1_000, gaps: 100_000, bars: 1_000_000 } as const

/** The parameters of a request, each read strictly. */
export class Query {
  readonly #given: URLSearchParams

  /** @throws EverybarError `web.bad-parameter` (abort) for a name that is not `known`, and for one given twice. */
  constructor(url: string, known: readonly string[]) {
    this.#given = new URL(url).searchParams
    for (const name of this.#given.keys()) {
      if (!known.includes(name)) {
        const hint = known.length === 0 ? 'It takes no parameters.' : `Known here: ${known.join(', ')}.`
        throw badParameter(name.slice(0, 50), 'no such parameter', hint)
      }
      if (name !== 'series' && this.#given.getAll(name).length > 1)
        throw badParameter(name, 'given twice', 'Give it once.')
    }
  }

  #text(name: string): string | undefined {
    return this.#given.get(name) ?? undefined
  }

  count(
    name: string,
    { least = 1, most: top, usual }: { least?: number; most: number; usual: number },
  ): number {
    const text = this.#text(name)
    if (text === undefined) return usual
    const count = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
    if (count >= least && count <= top) return count
    throw badParameter(name, `"${text.slice(0, 50)}" does not fit`, `A whole number from ${least} to ${top}.`)
  }

  limit(of: keyof typeof most): number {
    return this.count('limit', { most: most[of], usual: defaults[of] })
  }

  oneOf<T extends string>(name: string, known: readonly T[], usual: T): T {
    const text = this.#text(name)
    if (text === undefined) return usual
    const found = known.find((one) => one === text)
    if (found) return found
    throw badParameter(name, `"${text.slice(0, 50)}" is not known`, `One of ${known.join(', ')}.`)
  }

  format(): BarFormat {
    return this.oneOf('format', barFormats, 'json')
  }

  level(): EventLevel {
    return this.oneOf('level', eventLevels, 'info')
  }

  when(name: 'from' | 'to'): When | undefined {
    const text = this.#text(name)
    if (text === undefined) return undefined
    const when = readWhen(text)
    if (when && !(when.kind === 'listing' && name === 'to')) return when
    throw badParameter(name, `"${text.slice(0, 50)}" is not a time`, whenHint)
  }

  ends(): Pick<Selection, 'from' | 'to'> {
    const from = this.when('from')
    const to = this.when('to')
    return { ...(from && { from }), ...(to && { to }) }
  }

  /** Series named, in the venue's spelling; none where none was. @throws EverybarError as `knownSeries`. */
  async series(house: OpenHouse): Promise<readonly Series[]> {
    const named = this.#given.getAll('series')
    if (named.length > most.series)
      throw badParameter('series', `${named.length} of them`, `Name ${most.series} at most.`)
    return named.length === 0 ? [] : knownSeries(house, named)
  }

  /** The one series a request is for. */
  async oneSeries(house: OpenHouse): Promise<Series> {
    const [one, ...more] = await this.series(house)
    if (one && more.length === 0) return one
    const hint = 'Name one: series=binance:spot:BTCUSDT:1m.'
    throw badParameter('series', one ? 'several were named' : 'missing', hint)
  }

  /** Bars from `from` up to `to`; without `from` the last ones that `limit` leaves room for. */
  async barRange(house: OpenHouse, series: Series, limit: number): Promise<TimeRange> {
    const nowMs = house.clock.nowMs()
    const absolute = (when: When) =>
      when.kind === 'at' ? when.ms : when.kind === 'ago' ? nowMs - when.ms : 0
    const { from, to } = this.ends()
    const extent = from && to ? undefined : await house.lake.extent(series)
    const endMs = to ? absolute(to) : Math.max(nowMs, (extent?.lastMs ?? 0) + 1)
    if (from) return timeRange(Math.max(0, absolute(from)), endMs)
    const lastMs = extent ? lastBefore(series.timeframe, endMs, extent.lastMs) : endMs - 1
    const startMs = Math.max(0, shiftBars(series.timeframe, lastMs, 1 - limit))
    return timeRange(Math.min(startMs, endMs - 1), endMs)
  }
}

/** Where the last bar before `endMs` opens, on the grid of the last one there is. */
const lastBefore = (timeframe: Timeframe, endMs: EpochMs, lastMs: EpochMs): EpochMs =>
  endMs > lastMs ? lastMs : floorToBar(timeframe, endMs - 1, lastMs)

/** @throws EverybarError `series.bad-selector` (abort), `web.unknown-series` (abort) for one nobody ever asked for. */
async function knownSeries(house: OpenHouse, named: readonly string[]): Promise<readonly Series[]> {
  const known = new Set((await house.ledger.series()).map(({ seriesId: id }) => id))
  return named.map((text) => {
    const series = house.venues.canonical(parseSeries(text))
    if (known.has(seriesId(series))) return series
    throw new EverybarError('web.unknown-series', `${seriesId(series)} was never asked for here`, {
      recovery: 'abort',
      hint: '/api/v1/status lists the series there are.',
    })
  })
}
