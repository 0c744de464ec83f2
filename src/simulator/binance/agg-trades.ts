import type { EpochMs } from '../../model/time.ts'
import { HOUR_MS } from '../../model/time.ts'
import { parseTimeframe } from '../../model/timeframe.ts'
import type { Answer } from '../http.ts'
import type { Feed, Market } from '../market/feed.ts'
import type { BarSeries, Block } from '../market/rows.ts'
import { rowsOfBlock } from '../market/rows.ts'
import { type BarTrade, tradesOfBar } from '../market/trades.ts'
import { json, Refused } from './answers.ts'
import { badInterval, checkNames, readLimit, readSymbol, readTime, readWhole } from './parameters.ts'

const known = ['symbol', 'fromId', 'startTime', 'endTime', 'limit']
const minute = parseTimeframe('1m')

interface NumberedTrade extends BarTrade {
  readonly id: number
  readonly firstTrade: number
}

/** How many aggregate trades, and trades, came before a block. */
interface Before {
  readonly startMs: EpochMs
  readonly ids: number
  readonly trades: number
}

/**
 * Aggregate trades that make up the `1m` bars exactly, at most four a bar, numbered from 0 without a hole. `fromId`,
 * `startTime` and `endTime` are inclusive; without any of them the most recent. Numbers are counted from the first bar,
 * so a deep `fromId` reads every bar before it once.
 */
export async function aggTrades(
  query: URLSearchParams,
  market: Market,
  feed: Feed,
  nowMs: EpochMs,
): Promise<Answer> {
  checkNames(query, known)
  const { symbol } = readSymbol(query, market, feed)
  const fromId = readWhole(query, 'fromId')
  const startMs = readTime(query, 'startTime')
  const endMs = readTime(query, 'endTime')
  const limit = readLimit(query, 1000)
  if (fromId !== undefined && (startMs !== undefined || endMs !== undefined))
    throw new Refused(-1128, 'Combination of optional parameters invalid.')
  if (market === 'um' && startMs !== undefined && endMs !== undefined && endMs - startMs >= HOUR_MS)
    throw new Refused(-1127, 'More than 1 hours between startTime and endTime.')
  const series = feed.series(market, symbol, minute)
  if (!series) throw badInterval()
  const tape = new Tape(series, feed, `${market}:${symbol}`, nowMs)
  const toMs = Math.min(endMs ?? nowMs, nowMs)
  if (fromId !== undefined) return answer(await tape.fromId(fromId, limit))
  if (startMs !== undefined) return answer(await tape.between(startMs, toMs, limit))
  return answer(await tape.last(toMs, limit))
}

const answer = (trades: readonly NumberedTrade[]): Answer =>
  json(
    trades.map((trade) => ({
      a: trade.id,
      p: trade.price,
      q: trade.quantity,
      f: trade.firstTrade,
      l: trade.firstTrade + trade.trades - 1,
      T: trade.timeMs,
      m: trade.buyerIsMaker,
      M: true,
    })),
  )

/** Counts before each block, by feed and series; made once, in the order of time. */
const counted = new WeakMap<Feed, Map<string, Before[]>>()

class Tape {
  readonly #series: BarSeries
  readonly #nowMs: EpochMs
  readonly #before: Before[]

  constructor(series: BarSeries, feed: Feed, key: string, nowMs: EpochMs) {
    this.#series = series
    this.#nowMs = nowMs
    const all = counted.get(feed) ?? new Map<string, Before[]>()
    counted.set(feed, all)
    const before = all.get(key) ?? [{ startMs: series.startMs, ids: 0, trades: 0 }]
    all.set(key, before)
    this.#before = before
  }

  async fromId(id: number, limit: number): Promise<NumberedTrade[]> {
    let index = 0
    while (await this.#countTo(index + 1)) {
      if (this.#before[index + 1]!.ids > id) break
      index++
    }
    return this.#collect(index, limit, (trade) => trade.id >= id && trade.timeMs <= this.#nowMs)
  }

  async between(fromMs: EpochMs, toMs: EpochMs, limit: number): Promise<NumberedTrade[]> {
    if (fromMs > toMs) return []
    return this.#collect(
      await this.#indexOf(fromMs),
      limit,
      (trade) => trade.timeMs >= fromMs && trade.timeMs <= toMs,
      toMs,
    )
  }

  async last(toMs: EpochMs, limit: number): Promise<NumberedTrade[]> {
    const found: NumberedTrade[] = []
    for (let index = await this.#indexOf(toMs); index >= 0 && found.length < limit; index--) {
      const trades = (await this.#tradesAt(index)).filter((trade) => trade.timeMs <= toMs)
      found.unshift(...trades.slice(Math.max(0, trades.length - (limit - found.length))))
    }
    return found
  }

  async #collect(
    from: number,
    limit: number,
    wanted: (trade: NumberedTrade) => boolean,
    toMs = this.#nowMs,
  ): Promise<NumberedTrade[]> {
    const found: NumberedTrade[] = []
    for (let index = from; found.length < limit && (await this.#countTo(index)); index++) {
      if (this.#before[index]!.startMs > toMs) break
      for (const trade of await this.#tradesAt(index)) {
        if (found.length < limit && wanted(trade)) found.push(trade)
      }
    }
    return found
  }

  /** Counts up to block `index`; false where the series ends or the present comes before it. */
  async #countTo(index: number): Promise<boolean> {
    while (this.#before.length <= index) {
      const at = this.#before.at(-1)!
      if (at.startMs > this.#nowMs || at.startMs >= this.#series.endMs) return false
      const block = await this.#series.block(at.startMs)
      if (this.#before.at(-1) !== at) continue // another request has counted it meanwhile
      const trades = rowsOfBlock(block).flatMap(tradesOfBar)
      this.#before.push({
        startMs: block.endMs,
        ids: at.ids + trades.length,
        trades: at.trades + trades.reduce((sum, trade) => sum + trade.trades, 0),
      })
    }
    const { startMs } = this.#before[index]!
    return startMs <= this.#nowMs && startMs < this.#series.endMs
  }

  /** The block that holds `ms`, or the nearest there is. */
  async #indexOf(ms: EpochMs): Promise<number> {
    let index = 0
    while ((await this.#countTo(index + 1)) && this.#before[index + 1]!.startMs <= ms) index++
    return index
  }

  async #tradesAt(index: number): Promise<NumberedTrade[]> {
    const before = this.#before[index]!
    if (before.startMs >= this.#series.endMs) return []
    const block: Block = await this.#series.block(before.startMs)
    let { ids, trades } = before
    return rowsOfBlock(block).flatMap((row) =>
      tradesOfBar(row).map((trade) => {
        const numbered = { ...trade, id: ids++, firstTrade: trades }
        trades += trade.trades
        return numbered
      }),
    )
  }
}
