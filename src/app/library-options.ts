import { homedir } from 'node:os'
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { configuredSeries } from '../config/series.ts'
import { EverybarError } from '../model/errors.ts'
import { type Clock, type OnEvent, silent } from '../model/events.ts'
import { parseSeries, type Series, seriesId } from '../model/series.ts'
import type { EpochMs } from '../model/time.ts'
import { readWhen, type When, whenHint } from '../model/when.ts'
import type { Selection } from './api.ts'
import { type AppContext, expandSelectors } from './commands.ts'

/** What every function of the library takes. */
export interface LibraryOptions {
  /** The data root; the configuration's unless given. */
  readonly root?: string
  /**
   * A configuration, or the file that holds one. Without it the command line's rule serves: `EVERYBAR_CONFIG`, else
   * `everybar.yaml` in the working folder, else the defaults; and `EVERYBAR__…` variables win over files.
   */
  readonly config?: string | Config
  /** Address of the venue's spot API; wins over the configuration. A simulated venue serves futures there too. */
  readonly baseUrl?: string
  /** What happens, as it happens; nothing is logged unless given. */
  readonly onEvent?: OnEvent
  readonly signal?: AbortSignal
  /** The machine's unless given. */
  readonly clock?: Clock
}

/** A time: ISO 8601 in UTC, `-30d`, `now`, `listing`, or epoch milliseconds. */
export type Instant = string | EpochMs

export interface SelectionOptions extends LibraryOptions {
  /** `binance:spot:*USDT:1d`, as text or parsed, one or several; the configuration's unless given. */
  readonly series?: string | Series | readonly (string | Series)[]
  /** The first instant wanted. Without it: what was asked for before, else the venue's first bar. */
  readonly from?: Instant
  /** The first instant not wanted. Without it: the end of the last closed bar. */
  readonly to?: Instant
}

/** @throws ConfigError with every fault of the configuration at once. */
export function contextOf(options: LibraryOptions): AppContext {
  const { clock, onEvent = silent, signal = new AbortController().signal } = options
  return { config: configOf(options), onEvent, signal, ...(clock && { clock }) }
}

function configOf({ config, root, baseUrl }: LibraryOptions): Config {
  const given = typeof config === 'object' ? config : undefined
  const read =
    given ??
    loadConfig({
      file: typeof config === 'string' ? config : undefined,
      cwd: process.cwd(),
      home: homedir(),
      env: process.env,
      flags: { root },
    }).config
  const binance = {
    ...read.sources.binance,
    ...(baseUrl !== undefined && { base_url: baseUrl.replace(/\/+$/, '') }),
  }
  return { ...read, root: given ? (root ?? read.root) : read.root, sources: { ...read.sources, binance } }
}

/** The series and range that are meant; no series where neither the options nor the configuration name any. */
export async function selectionOf(
  context: AppContext,
  options: SelectionOptions,
): Promise<Partial<Selection>> {
  const ends = {
    ...(options.from !== undefined && { from: whenOf('from', options.from) }),
    ...(options.to !== undefined && { to: whenOf('to', options.to) }),
  }
  if (options.series !== undefined) return { series: await seriesOf(context, options.series), ...ends }
  const perSeries = new Map<string, { from?: When; to?: When }>()
  const series: Series[] = []
  for (const { pattern, ...own } of configuredSeries(context.config)) {
    for (const one of await expandSelectors(context, [pattern])) {
      series.push(one)
      perSeries.set(seriesId(one), { ...own, ...ends })
    }
  }
  return series.length === 0 ? ends : { series, perSeries, ...ends }
}

/** @throws EverybarError `series.none-named` (abort). */
export async function selectionNamed(context: AppContext, options: SelectionOptions): Promise<Selection> {
  const { series, ...rest } = await selectionOf(context, options)
  if (series && series.length > 0) return { series, ...rest }
  throw new EverybarError('series.none-named', 'no series was named, and the configuration has none', {
    recovery: 'abort',
    hint: 'Name one: { series: "binance:spot:BTCUSDT:1m" }.',
  })
}

function seriesOf(context: AppContext, named: NonNullable<SelectionOptions['series']>) {
  const all = typeof named === 'object' && 'length' in named ? named : [named]
  return expandSelectors(
    context,
    all.map((one) => (typeof one === 'string' ? one : seriesId(one))),
  ).then((series) => [...new Map(series.map((one) => [seriesId(one), one])).values()])
}

function whenOf(name: string, instant: Instant): When {
  const when = typeof instant === 'number' ? ({ kind: 'at', ms: instant } as const) : readWhen(instant)
  if (when) return when
  throw new EverybarError('time.unreadable', `${name} "${instant}" is not a time`, {
    recovery: 'abort',
    hint: `${whenHint} A number is epoch milliseconds.`,
    path: name,
  })
}

/** Text as a series; a series as it is. */
export const asSeries = (series: string | Series): Series =>
  typeof series === 'string' ? parseSeries(series) : series
