import { MINUTE_MS, type TimeRange } from '../../model/time.ts'
import type { Listing, Market } from './feed.ts'
import { hash, randomFrom, smoothNoise, unit } from './noise.ts'
import type { Block } from './rows.ts'
import type { SyntheticOptions, SyntheticSymbol } from './synthetic.ts'
import { RowWriter } from './writer.ts'

/** One page at Binance's largest spot limit, on the same epoch grid as everybar's slices: one block, one answer. */
const BLOCK_BARS = 1000
export const BLOCK_MS = BLOCK_BARS * MINUTE_MS

/** Longer than any row: 12 elements of at most 16 digits, a point, quotes and a comma. */
const ROW_BYTES_MAX = 240

const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c

/** Standard size of a minute's step, as a share of the price. */
const STEP = 0.0007
const wellKnownPrices: Readonly<Record<string, number>> = { BTCUSDT: 42_000, ETHUSDT: 2_300, BNBUSDT: 310 }

/** A symbol's walk: what it is listed as and what steers it. */
export interface Walk {
  readonly listing: Listing
  readonly seed: number
  readonly price: number
  readonly quietShare: number
  readonly outages: readonly TimeRange[]
  /** Units of price and of quantity in one whole. */
  readonly ticks: number
  readonly lots: number
  /** Decimal places of the text: spot pads to eight, futures show what they count in. */
  readonly shown: { readonly price: number; readonly quantity: number; readonly quote: number }
}

export function walkOf(symbol: SyntheticSymbol, market: Market, options: SyntheticOptions): Walk {
  const seed = hash(options.seed, market, symbol.symbol)
  const price = symbol.price ?? wellKnownPrices[symbol.symbol] ?? 10 ** (unit(hash(seed, 'price')) * 4 - 1)
  const priceDecimals = price >= 100 ? 2 : price >= 1 ? 4 : 6
  const quantityDecimals = price >= 1000 ? 5 : price >= 10 ? 3 : 1
  const shown =
    market === 'spot'
      ? { price: 8, quantity: 8, quote: 8 }
      : { price: priceDecimals, quantity: quantityDecimals, quote: 5 }
  const listing: Listing = {
    market,
    symbol: symbol.symbol,
    status: symbol.status ?? (symbol.delistedMs === undefined ? 'TRADING' : 'BREAK'),
    onboardMs: symbol.listedMs ?? options.listedMs,
    ...(symbol.delistedMs === undefined ? {} : { delistedMs: symbol.delistedMs }),
    priceDecimals,
    quantityDecimals,
  }
  return {
    listing,
    seed,
    price,
    quietShare: symbol.quietShare ?? 0.02,
    outages: [...options.outages, ...(symbol.outages ?? [])],
    ticks: 10 ** priceDecimals,
    lots: 10 ** quantityDecimals,
    shown,
  }
}

/** Logarithm of the price at which block `index` begins, and the one before it ends. */
const anchor = (walk: Walk, index: number): number =>
  Math.log(walk.price) +
  0.02 * smoothNoise(walk.seed, index, 1) +
  0.05 * smoothNoise(walk.seed + 1, index, 10) +
  0.12 * smoothNoise(walk.seed + 2, index, 90) +
  0.3 * smoothNoise(walk.seed + 3, index, 700)

/** Prices at the 1,001 minute marks of a block, in units of the last decimal place. */
function pricesOf(walk: Walk, index: number, random: () => number): Float64Array {
  const prices = new Float64Array(BLOCK_BARS + 1)
  for (let i = 1; i <= BLOCK_BARS; i++)
    prices[i] = prices[i - 1]! + (random() + random() + random() - 1.5) * 2 * STEP
  const start = anchor(walk, index)
  const drift = (anchor(walk, index + 1) - start - prices[BLOCK_BARS]!) / BLOCK_BARS
  const { ticks } = walk
  for (let i = 0; i <= BLOCK_BARS; i++)
    prices[i] = Math.max(2, Math.round(Math.exp(start + prices[i]! + drift * i) * ticks))
  return prices
}

/** Reused: a block is written without a pause, and copied out. */
const writer = new RowWriter(BLOCK_BARS * ROW_BYTES_MAX + 2)

/** The bars of block `index`: those from listing to delisting that open in no outage. */
export function walkBlock(walk: Walk, index: number): Block {
  const random = randomFrom(hash(walk.seed, index))
  const prices = pricesOf(walk, index, random)
  const startMs = index * BLOCK_MS
  const block = { startMs, endMs: startMs + BLOCK_MS }
  const outages = walk.outages.filter((outage) => outage.startMs < block.endMs && outage.endMs > startMs)
  const { onboardMs, delistedMs = Number.POSITIVE_INFINITY } = walk.listing
  writer.at = 0
  const times = new Float64Array(BLOCK_BARS)
  const offsets = new Uint32Array(BLOCK_BARS + 1)
  let rows = 0
  writer.byte(OPEN_BRACKET)
  offsets[0] = 1
  for (let i = 0; i < BLOCK_BARS; i++) {
    const openMs = startMs + i * MINUTE_MS
    // Drawn for every minute, listed or not, so that neither listing time nor outages move the bars after them.
    const quiet = random() < walk.quietShare
    const size = random()
    const reach = random()
    const share = random()
    if (openMs < onboardMs || openMs >= delistedMs) continue
    if (outages.length > 0 && outages.some((outage) => openMs >= outage.startMs && openMs < outage.endMs))
      continue
    const open = prices[i]!
    writeBar(walk, openMs, open, quiet ? open : prices[i + 1]!, quiet ? 0 : size, reach, share)
    writer.byte(COMMA)
    times[rows++] = openMs
    offsets[rows] = writer.at
  }
  if (rows === 0) writer.byte(CLOSE_BRACKET)
  else writer.bytes[writer.at - 1] = CLOSE_BRACKET
  return {
    ...block,
    times: times.slice(0, rows),
    offsets: offsets.slice(0, rows + 1),
    // Copied, so that what the cache counts is what it holds.
    bytes: Buffer.from(writer.bytes.subarray(0, writer.at)),
  }
}

/** One row. A `size` of 0 is a minute without a trade; `reach` is how far high and low go, `share` what takers bought. */
function writeBar(
  walk: Walk,
  openMs: number,
  open: number,
  close: number,
  size: number,
  reach: number,
  share: number,
): void {
  const { ticks, lots, shown } = walk
  const { priceDecimals, quantityDecimals } = walk.listing
  const spread = size === 0 ? 0 : Math.floor(open * STEP * reach)
  const high = Math.max(open, close) + spread
  const low = Math.max(1, Math.min(open, close) - Math.floor(spread * (1 - share)))
  const volume = size === 0 ? 0 : Math.max(8, Math.floor((500_000 / walk.price) * size * size * size * lots))
  const taker = Math.floor(volume * share)
  // Five places: the mean price times the quantity. Below 2^53 for anything these walks make.
  const unitValue = ((open + close) / 2 / ticks / lots) * 100_000
  writer.byte(OPEN_BRACKET)
  writer.whole(openMs)
  writer.decimalText(open, priceDecimals, shown.price)
  writer.decimalText(high, priceDecimals, shown.price)
  writer.decimalText(low, priceDecimals, shown.price)
  writer.decimalText(close, priceDecimals, shown.price)
  writer.decimalText(volume, quantityDecimals, shown.quantity)
  writer.byte(COMMA)
  writer.whole(openMs + MINUTE_MS - 1)
  writer.decimalText(Math.round(volume * unitValue), 5, shown.quote)
  writer.byte(COMMA)
  writer.whole(size === 0 ? 0 : 4 + Math.floor(size * 400))
  writer.decimalText(taker, quantityDecimals, shown.quantity)
  writer.decimalText(Math.round(taker * unitValue), 5, shown.quote)
  writer.decimalText(0, 0, 0)
  writer.byte(CLOSE_BRACKET)
}
