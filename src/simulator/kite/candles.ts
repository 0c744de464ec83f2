import { DAY_MS, type EpochMs, MINUTE_MS } from '../../model/time.ts'
import { hash, randomFrom, smoothNoise } from '../market/noise.ts'
import type { SimulatedInstrument } from './instruments.ts'

const IST_MS = 19_800_000
const OPENS_MS = 9.25 * 3_600_000
export const SESSION_MINUTES = 375
const TICK = 0.05

/** One candle: open time, open, high, low, close, volume. */
export interface Candle {
  readonly openMs: EpochMs
  readonly open: number
  readonly high: number
  readonly low: number
  readonly close: number
  readonly volume: number
}

/** Minutes by the venue's words. */
export const intervalMinutes: Readonly<Record<string, number>> = {
  minute: 1,
  '3minute': 3,
  '5minute': 5,
  '10minute': 10,
  '15minute': 15,
  '30minute': 30,
  '60minute': 60,
}

export const dayCaps: Readonly<Record<string, number>> = {
  minute: 60,
  '3minute': 100,
  '5minute': 100,
  '10minute': 100,
  '15minute': 200,
  '30minute': 200,
  '60minute': 400,
  day: 2_000,
}

/** Midnight of the Indian day with this number since 1970. */
export const midnightOf = (day: number): EpochMs => day * DAY_MS - IST_MS
export const dayOf = (ms: EpochMs): number => Math.floor((ms + IST_MS) / DAY_MS)
export const dayNumber = (text: string): number => Date.parse(`${text}T00:00:00Z`) / DAY_MS
export const dayText = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10)

/** Makes the candles of one instrument from its token and the seed alone: a day's candle is made of its minutes. */
export class CandleMaker {
  readonly #instrument: SimulatedInstrument
  readonly #seed: number
  readonly #isOpen: (day: number) => boolean
  readonly #listed: number

  constructor(instrument: SimulatedInstrument, seed: number, isOpen: (day: number) => boolean) {
    this.#instrument = instrument
    this.#seed = hash(seed, instrument.token)
    this.#isOpen = isOpen
    this.#listed = dayNumber(instrument.listed ?? '1996-07-01')
  }

  /** Candles that open from `fromMs` to `toMs`, both included, as far as the venue's clock has come. */
  between(interval: string, fromMs: EpochMs, toMs: EpochMs, nowMs: EpochMs): Candle[] {
    const out: Candle[] = []
    const last = Math.min(dayOf(toMs), dayOf(nowMs))
    for (let day = Math.max(dayOf(fromMs), this.#listed); day <= last; day++) {
      if (!this.#traded(day)) continue
      for (const candle of this.#ofDay(interval, day, nowMs)) {
        if (candle.openMs >= fromMs && candle.openMs <= toMs) out.push(candle)
      }
    }
    return out
  }

  #traded(day: number): boolean {
    if (!this.#isOpen(day)) return false
    const { suspended = [] } = this.#instrument
    return !suspended.some(([from, to]) => day >= dayNumber(from) && day <= dayNumber(to))
  }

  #ofDay(interval: string, day: number, nowMs: EpochMs): Candle[] {
    const endsMs = midnightOf(day) + OPENS_MS + SESSION_MINUTES * MINUTE_MS
    if (interval === 'day' && nowMs >= endsMs) return [this.#whole(day)]
    const minutes = this.#minutes(day).filter(({ openMs }) => openMs <= nowMs)
    if (minutes.length === 0) return []
    if (interval === 'day') return [joined(minutes, midnightOf(day))]
    const width = intervalMinutes[interval]! * MINUTE_MS
    const opensMs = midnightOf(day) + OPENS_MS
    const groups = Map.groupBy(minutes, ({ openMs }) => Math.floor((openMs - opensMs) / width))
    return [...groups].map(([k, group]) => joined(group, opensMs + k * width))
  }

  #price(day: number): number {
    const log =
      Math.log(50 + (this.#seed % 3_000)) +
      0.5 * smoothNoise(this.#seed, day, 400) +
      0.15 * smoothNoise(this.#seed + 1, day, 40) +
      0.03 * smoothNoise(this.#seed + 2, day, 3)
    return inTicks(Math.exp(log))
  }

  #whole(day: number): Candle {
    const random = randomFrom(hash(this.#seed, day))
    const open = this.#price(day)
    const close = this.#price(day + 1)
    const reach = inTicks(open * 0.02 * random())
    const volume = 100 + Math.floor(random() ** 3 * 1_000_000)
    const low = Math.max(TICK, Math.min(open, close) - reach)
    return {
      openMs: midnightOf(day),
      open,
      high: Math.max(open, close) + reach,
      low: inTicks(low),
      close,
      volume,
    }
  }

  /** From the day's open to its close, touching its high and its low; some minutes are without a trade. */
  #minutes(day: number): Candle[] {
    const { open, high, low, close, volume } = this.#whole(day)
    const random = randomFrom(hash(this.#seed, day, 'minutes'))
    const quiet = this.#instrument.quietShare ?? 0.02
    const spoken = Array.from({ length: SESSION_MINUTES }, (_, i) => i).filter(
      (i) => i === 0 || i === SESSION_MINUTES - 1 || random() >= quiet,
    )
    const top = Math.floor(random() * spoken.length)
    const bottom = Math.floor(random() * spoken.length)
    const at = (n: number): number => {
      if (n === 0) return open
      if (n === spoken.length) return close
      return clamp(
        inTicks(open + ((close - open) * n) / spoken.length + (random() - 0.5) * (high - low)),
        low,
        high,
      )
    }
    const share = Math.floor(volume / spoken.length)
    let before = at(0)
    return spoken.map((i, n) => {
      const after = at(n + 1)
      const candle = {
        openMs: midnightOf(day) + OPENS_MS + i * MINUTE_MS,
        open: before,
        high: n === top ? high : Math.max(before, after),
        low: n === bottom ? low : Math.min(before, after),
        close: after,
        volume: n === 0 ? volume - share * (spoken.length - 1) : share,
      }
      before = after
      return candle
    })
  }
}

function joined(parts: readonly Candle[], openMs: EpochMs): Candle {
  return {
    openMs,
    open: parts[0]!.open,
    high: Math.max(...parts.map(({ high }) => high)),
    low: Math.min(...parts.map(({ low }) => low)),
    close: parts.at(-1)!.close,
    volume: parts.reduce((sum, { volume }) => sum + volume, 0),
  }
}

const inTicks = (price: number): number => Math.round(Math.max(TICK, price) * 20) / 20
const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))
