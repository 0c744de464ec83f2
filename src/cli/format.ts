import { type EpochMs, iso } from '../model/time.ts'

/** `no_trade 12, never_fetched 3`; `-` for none. */
export const countsText = (counts: Readonly<Record<string, number | undefined>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count !== undefined && count > 0)
    .map(([name, count]) => `${name} ${number(count!)}`)
    .join(', ') || '-'

/** `1,234,567`. */
export const number = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')

/** `1 request`, `2 requests`, `0 series`. */
export const counted = (count: number, noun: string): string =>
  `${number(count)} ${noun}${count === 1 || noun.endsWith('s') ? '' : 's'}`

/** Two decimals, rounded down: only what is whole reads as 100.00 %. */
export const percent = (part: number): string => `${(Math.floor(part * 10_000) / 100).toFixed(2)} %`

/** `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return '?'
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const seconds = Math.round(ms / 1_000)
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const
  const at = units.findIndex(([, size]) => seconds >= size)
  const [unit, size] = units[at]!
  const [lesser, lesserSize] = units[at + 1] ?? ['', 1]
  const rest = Math.floor((seconds % size) / lesserSize)
  return `${Math.floor(seconds / size)} ${unit}${lesser !== '' && rest > 0 ? ` ${rest} ${lesser}` : ''}`
}

/** `512 B`, `1.5 MB`: powers of 1,000. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export const time = (ms: EpochMs | null): string => (ms === null ? '-' : iso(ms))
