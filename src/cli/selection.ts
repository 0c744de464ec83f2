import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import type { Selection } from '../app/api.ts'
import { EverybarError, messageOf } from '../model/errors.ts'
import { parseSeries, type Series, seriesId } from '../model/series.ts'
import type { Cli } from './cli.ts'
import { type Ends, readEnds } from './when.ts'

export interface SelectionOptions {
  readonly series?: readonly string[]
  readonly seriesFile?: string
  readonly from?: string
  readonly to?: string
}

const usualEnd = {
  asks: 'the last closed bar',
  /** Asks no venue: knows of what was asked for. */
  reads: 'what was asked for so far',
} as const

/** Adds the operands and options that name series and where they begin; for what has no end, like `live`. */
export const openSelectionOptions = (command: Command): Command =>
  command
    .argument('[series...]', 'venue:market:symbol:timeframe; * and ? match symbols')
    .option('-s, --series <series>', 'a series; repeatable', (value, all: string[] = []) => [...all, value])
    .option('--series-file <file>', 'a file with one series per line; # starts a comment; - is stdin')
    .option('--from <time>', 'first instant wanted: 2017-08, 2024-03-05T14:00Z, -30d, listing')

/** Adds the operands and options that name series and a range. */
export const selectionOptions = (command: Command, kind: keyof typeof usualEnd = 'asks'): Command =>
  openSelectionOptions(command).option(
    '--to <time>',
    `first instant not wanted: 2018-03, now (default: ${usualEnd[kind]})`,
  )

/**
 * The series and range a command line asks for: those it names, else those of the configuration.
 *
 * @throws EverybarError `cli.no-series`, `cli.series-file`, `cli.bad-time`, `cli.range-reversed`, `series.bad-selector`,
 *   `timeframe.unknown` (abort), and what expanding `*` throws.
 */
export async function readSelection(
  cli: Cli,
  operands: readonly string[],
  options: SelectionOptions,
): Promise<Selection> {
  const selection = await readSelectionIfAny(cli, operands, options)
  if (selection.series) return { ...selection, series: selection.series }
  throw new EverybarError('cli.no-series', 'no series was named, and the configuration has none', {
    recovery: 'abort',
    hint: 'Name one, for instance binance:spot:BTCUSDT:1m, or list some under `series:` in everybar.yaml.',
  })
}

/** The same, for commands that do without series: what they find is theirs to say. */
export async function readSelectionIfAny(
  cli: Cli,
  operands: readonly string[],
  options: SelectionOptions,
): Promise<Partial<Selection>> {
  const ends = readEnds(options.from, options.to)
  const fromFile = options.seriesFile === undefined ? [] : readSeriesFile(options.seriesFile)
  const named = [...operands, ...(options.series ?? []), ...fromFile]
  if (named.length > 0) return { series: await expand(cli, named), ...ends }
  return { ...(await configured(cli, ends)), ...ends }
}

/** The configuration's series. A range given by flag wins over theirs. */
async function configured(cli: Cli, flags: Ends): Promise<Partial<Selection>> {
  const { configuredSeries } = await import('../config/series.ts')
  const entries = configuredSeries((await cli.config()).config)
  if (entries.length === 0) return {}
  const series: Series[] = []
  const perSeries = new Map<string, Ends>()
  for (const { pattern, from, to } of entries) {
    const own = { ...(!flags.from && from && { from }), ...(!flags.to && to && { to }) }
    for (const one of await expand(cli, [pattern])) {
      if (own.from || own.to) perSeries.set(seriesId(one), own)
      series.push(one)
    }
  }
  return { series: distinct(series), ...(perSeries.size > 0 && { perSeries }) }
}

/** Selectors as series, each once, in order. Only those with `*` or `?` ask the venue. */
async function expand(cli: Cli, patterns: readonly string[]): Promise<readonly Series[]> {
  const found = await Promise.all(
    patterns.map(async (pattern) => {
      const series = parseSeries(pattern)
      if (!/[*?]/.test(series.instrument.symbol)) return [series]
      const { expandSelectors } = await import('../app/commands.ts')
      return expandSelectors(await cli.app(), [pattern])
    }),
  )
  return distinct(found.flat())
}

const distinct = (series: readonly Series[]): readonly Series[] => [
  ...new Map(series.map((one) => [seriesId(one), one])).values(),
]

function readSeriesFile(file: string): readonly string[] {
  try {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8')
    return text
      .split(/\r?\n/)
      .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
      .filter(Boolean)
  } catch (cause) {
    throw new EverybarError('cli.series-file', `cannot read the series file: ${messageOf(cause)}`, {
      recovery: 'abort',
      hint: 'It is a text file with one venue:market:symbol:timeframe per line.',
      path: file,
      cause,
    })
  }
}
