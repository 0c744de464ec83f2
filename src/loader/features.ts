import type { TimeRange } from '../model/time.ts'
import { fixedWidthMs, shiftBars, type Timeframe } from '../model/timeframe.ts'
import { ConfigError } from './errors.ts'
import { identifier } from './read/engine.ts'

/**
 * A column made from others. All but `target` look back only: the value at a bar depends on that bar and the ones
 * before it. Lags and windows count bars of the grid, not rows: where a bar in between is missing, the value is not
 * known. Windows need every one of their bars.
 */
export type Feature =
  /** `x / x[bars ago] - 1`. */
  | { readonly kind: 'return'; readonly column: string; readonly bars?: number; readonly name?: string }
  /** `ln(x / x[bars ago])`. */
  | { readonly kind: 'log-return'; readonly column: string; readonly bars?: number; readonly name?: string }
  /** `x[bars ago]`. */
  | { readonly kind: 'lag'; readonly column: string; readonly bars: number; readonly name?: string }
  /** `column - minus`: ask and bid, high and low. */
  | { readonly kind: 'spread'; readonly column: string; readonly minus: string; readonly name?: string }
  /** Sample deviation of one-bar log returns over `window` bars. */
  | { readonly kind: 'volatility'; readonly column: string; readonly window: number; readonly name?: string }
  /** A statistic over the last `window` bars, the present one included. */
  | {
      readonly kind: 'rolling'
      readonly column: string
      readonly statistic: 'mean' | 'std' | 'min' | 'max' | 'sum'
      readonly window: number
      readonly name?: string
    }
  /** What is to be predicted, `horizon` bars ahead: the value, or the return or log return until then. */
  | {
      readonly kind: 'target'
      readonly column: string
      readonly horizon: number
      readonly of?: 'value' | 'return' | 'log-return'
      readonly name?: string
    }

/** The name a feature's column has: its own, or one made of what it is, for instance `close_log_return_1`. */
export function featureName(feature: Feature): string {
  if (feature.name !== undefined) return feature.name
  switch (feature.kind) {
    case 'return':
    case 'log-return':
      return `${feature.column}_${feature.kind.replace('-', '_')}_${feature.bars ?? 1}`
    case 'lag':
      return `${feature.column}_lag_${feature.bars}`
    case 'spread':
      return `${feature.column}_minus_${feature.minus}`
    case 'volatility':
      return `${feature.column}_volatility_${feature.window}`
    case 'rolling':
      return `${feature.column}_${feature.statistic}_${feature.window}`
    case 'target':
      return `target_${feature.column}_h${feature.horizon}`
    default:
      return feature satisfies never
  }
}

/** The columns features are made of, each once. */
export const featureInputs = (features: readonly Feature[]): string[] => [
  ...new Set(features.flatMap((f) => (f.kind === 'spread' ? [f.column, f.minus] : [f.column]))),
]

/** Bars before and after a range that its features need. */
export function featureReach(features: readonly Feature[]): {
  readonly back: number
  readonly ahead: number
} {
  let back = 0
  let ahead = 0
  for (const f of features) {
    if (f.kind === 'target') ahead = Math.max(ahead, f.horizon)
    else if (f.kind === 'volatility') back = Math.max(back, f.window)
    else if (f.kind === 'rolling') back = Math.max(back, f.window - 1)
    else if (f.kind !== 'spread') back = Math.max(back, f.bars ?? 1)
  }
  return { back, ahead }
}

/** `range` with the bars its features need on either side. */
export function rangeWithReach(
  range: TimeRange,
  timeframe: Timeframe,
  features: readonly Feature[],
): TimeRange {
  const { back, ahead } = featureReach(features)
  return {
    startMs: Math.max(0, shiftBars(timeframe, range.startMs, -back)),
    endMs: shiftBars(timeframe, range.endMs, ahead),
  }
}

/**
 * SQL for the features over `select` (`t` and the input columns, in any order, one row a time): `t`, the columns in
 * `keep`, then the features, ascending, for the rows of `select` in `range` only.
 *
 * @throws ConfigError `loader.bad-feature` for a window, lag or horizon that is no positive whole number, two features
 *   of one name, or a timeframe of no fixed width.
 */
export function featureSql(
  select: string,
  features: readonly Feature[],
  options: { readonly timeframe: Timeframe; readonly range: TimeRange; readonly keep: readonly string[] },
): string {
  const width = fixedWidthMs(options.timeframe)
  if (width === undefined) throw badFeature('features need bars of a fixed width', options.timeframe)
  checkFeatures(features, options.keep)
  const logs = features.filter((f) => f.kind === 'volatility').map((f) => f.column)
  const returns = [...new Set(logs)].map(
    (column) => `${lnRatio(value(column), back(value(column), 1, width))} AS ${identifier(`__r_${column}`)}`,
  )
  const outputs = features.map((f) => `${expression(f, width)} AS ${identifier(featureName(f))}`)
  const keep = options.keep.map(identifier)
  return `
    SELECT ${['t', ...keep, ...features.map((f) => identifier(featureName(f)))].join(', ')}
    FROM (
      SELECT ${['t', ...keep, ...outputs].join(', ')}
      FROM (SELECT *${returns.map((sql) => `, ${sql}`).join('')} FROM (${select}))
    ) WHERE t >= ${options.range.startMs} AND t < ${options.range.endMs} ORDER BY t`
}

/** NaN counts as not known, so that it never enters a window. */
const value = (column: string): string => `nullif(${identifier(column)}, 'nan'::DOUBLE)`
const lnRatio = (now: string, before: string): string =>
  `CASE WHEN ${now} > 0 AND ${before} > 0 THEN ln(${now} / ${before}) END`
const ratio = (now: string, before: string): string =>
  `CASE WHEN ${before} <> 0 THEN ${now} / ${before} - 1 END`

/** The value at exactly `bars` bars before (negative: after), by time, so that a missing bar gives nothing. */
function back(x: string, bars: number, width: number): string {
  const ms = Math.abs(bars) * width
  const side = bars > 0 ? 'PRECEDING' : 'FOLLOWING'
  return `first(${x}) OVER (ORDER BY t RANGE BETWEEN ${ms} ${side} AND ${ms} ${side})`
}

/** A statistic over the last `window` bars; nothing unless all of them are there and known. */
function over(statistic: string, x: string, window: number, width: number): string {
  const frame = `OVER (ORDER BY t RANGE BETWEEN ${(window - 1) * width} PRECEDING AND CURRENT ROW)`
  return `CASE WHEN count(${x}) ${frame} = ${window} THEN ${statistic}(${x}) ${frame} END`
}

const statistics = { mean: 'avg', std: 'stddev_samp', min: 'min', max: 'max', sum: 'sum' } as const

function expression(feature: Feature, width: number): string {
  const x = value(feature.column)
  switch (feature.kind) {
    case 'return':
      return ratio(x, back(x, feature.bars ?? 1, width))
    case 'log-return':
      return lnRatio(x, back(x, feature.bars ?? 1, width))
    case 'lag':
      return back(x, feature.bars, width)
    case 'spread':
      return `${x} - ${value(feature.minus)}`
    case 'volatility':
      return over('stddev_samp', identifier(`__r_${feature.column}`), feature.window, width)
    case 'rolling':
      return over(statistics[feature.statistic], x, feature.window, width)
    case 'target': {
      const ahead = back(x, -feature.horizon, width)
      if (feature.of === 'return') return ratio(ahead, x)
      return feature.of === 'log-return' ? lnRatio(ahead, x) : ahead
    }
    default:
      return feature satisfies never
  }
}

/**
 * @param keep names that are taken.
 * @throws ConfigError `loader.bad-feature` as `featureSql`, but for the timeframe.
 */
export function checkFeatures(features: readonly Feature[], keep: readonly string[]): void {
  const names = new Set(keep.map((name) => name.toLowerCase()))
  for (const feature of features) {
    const name = featureName(feature).toLowerCase()
    if (names.has(name) || name === 't')
      throw badFeature('two columns would have one name', featureName(feature))
    names.add(name)
    const sizes = [
      'bars' in feature ? feature.bars : undefined,
      'window' in feature ? feature.window : undefined,
      'horizon' in feature ? feature.horizon : undefined,
    ].filter((size) => size !== undefined)
    const least = feature.kind === 'volatility' ? 2 : 1
    if (sizes.some((size) => !Number.isInteger(size) || size < least || size > 1_000_000)) {
      throw badFeature(`windows, lags and horizons are whole numbers from ${least}`, feature)
    }
  }
}

const badFeature = (message: string, value: unknown): ConfigError =>
  new ConfigError('loader.bad-feature', message, {
    value,
    hint: 'For instance { kind: "log-return", column: "close" } or { kind: "rolling", column: "close", statistic: "mean", window: 20 }.',
  })
