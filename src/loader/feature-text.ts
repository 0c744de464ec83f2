import { ConfigError } from './errors.ts'
import type { Feature } from './features.ts'

const forms = [
  'return:COLUMN:BARS',
  'log-return:COLUMN:BARS',
  'lag:COLUMN:BARS',
  'spread:COLUMN:MINUS',
  'volatility:COLUMN:WINDOW',
  'mean|std|min|max|sum:COLUMN:WINDOW',
  'target:COLUMN:BARS:value|return|log-return',
]

const statistics = ['mean', 'std', 'min', 'max', 'sum'] as const
const targets = ['value', 'return', 'log-return'] as const
const isStatistic = (word: string): word is (typeof statistics)[number] => statistics.includes(word as never)

/**
 * A feature as one word: `log-return`, `volatility:close:60`, `spread:high:low`, each with a name of its own where one
 * stands before it (`range=spread:high:low`). Returns are of `close` over one bar unless said; `log_returns` is
 * `log-return`. Whether the numbers make sense is for whoever uses the feature.
 *
 * @throws ConfigError `loader.bad-feature`.
 */
export function parseFeature(text: string): Feature {
  const [, name, body = ''] = /^(?:([^=]*)=)?(.*)$/s.exec(text.trim())!
  const parts = body.split(':').map((part) => part.trim())
  const kind = parts[0]!.replaceAll('_', '-').replace(/returns$/, 'return')
  const feature = name !== '' && parts.every((part) => part !== '') ? read(kind, parts.slice(1)) : undefined
  if (feature) return name === undefined ? feature : { ...feature, name: name.trim() }
  throw new ConfigError('loader.bad-feature', `"${text}" is no feature`, {
    value: text,
    hint: `Write ${forms.join(', ')}; what stands after the kind may be left out for returns of close over one bar.`,
  })
}

function read(kind: string, rest: readonly string[]): Feature | undefined {
  const [column, second, third] = rest
  if (rest.length > (kind === 'target' ? 3 : 2)) return undefined
  const bars = second === undefined ? undefined : Number(second)
  if (kind === 'return' || kind === 'log-return')
    return { kind, column: column ?? 'close', ...(bars !== undefined && { bars }) }
  if (column === undefined || second === undefined || bars === undefined) return undefined
  if (kind === 'spread') return { kind, column, minus: second }
  if (kind === 'lag') return { kind, column, bars }
  if (kind === 'volatility') return { kind, column, window: bars }
  if (isStatistic(kind)) return { kind: 'rolling', column, statistic: kind, window: bars }
  if (kind !== 'target') return undefined
  const of = targets.find((one) => one === (third ?? 'value'))
  return of && { kind, column, horizon: bars, of }
}
