import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EverybarError } from '../../model/errors.ts'
import { type EpochMs, monthOf } from '../../model/time.ts'
import { parseTimeframe, type Timeframe } from '../../model/timeframe.ts'
import { aggregatedSeries } from './aggregate.ts'
import { BlockCache } from './cache.ts'
import { blockOfCsv, readCsv } from './csv.ts'
import type { Feed, Listing, Market } from './feed.ts'
import { applyRestatements, RestatementBook } from './restate.ts'
import { type BarSeries, type Block, rowAt } from './rows.ts'
import { formingRow } from './trades.ts'
import { readZippedCsv } from './zip.ts'

const minute = parseTimeframe('1m')
const folders: Readonly<Record<Market, string>> = { spot: 'spot', um: 'futures/um' }

interface MonthFiles {
  readonly range: { readonly startMs: EpochMs; readonly endMs: EpochMs }
  /** Monthly files before daily ones, so that they win where both have a bar. */
  readonly paths: string[]
}

/** Archive files of one symbol and interval by month, ascending. */
type Months = MonthFiles[]

/** What a folder of archive files gives: its bars, and when the last of them closes. */
export interface Replay extends Feed {
  readonly lastCloseMs: EpochMs
}

/**
 * Real bars from zip files in the bulk archive's layout, `data/{spot,futures/um}/{monthly,daily}/klines/SYMBOL/
 * INTERVAL/*.zip` under `root`, under `root/binance-vision`, or with `root` being `data` itself. Rows are sent with
 * the numbers as the files have them. Monthly and daily files are merged; files are read when first needed, a month at
 * a time. An interval without files is made from `1m` files, where there are some. A month without files has no bars.
 *
 * @throws EverybarError `simulator.no-data` (abort) where no such file is found.
 */
export async function openReplay(root: string, cacheBytesMax: number): Promise<Replay> {
  const files = await findFiles(root)
  const cache = new BlockCache(cacheBytesMax)
  const book = new RestatementBook()
  const native = (market: Market, symbol: string, interval: Timeframe): BarSeries | undefined => {
    const key = `${market}:${symbol}`
    const months = files.get(`${key}:${interval}`)
    return (
      months &&
      monthSeries(months, interval, (month, range) =>
        cache.get(`${key}:${interval}:file:${range.startMs}`, async () => {
          const block = await readMonth(month, range)
          return interval === minute ? applyRestatements(block, book.of(key)) : block
        }),
      )
    )
  }
  const series = (market: Market, symbol: string, interval: Timeframe): BarSeries | undefined => {
    const own = native(market, symbol, interval)
    if (own) return own
    const base = native(market, symbol, minute)
    return base && aggregatedSeries(base, interval, cache, `${market}:${symbol}:${interval}`)
  }
  return {
    ...(await describe(files, native)),
    series,
    restate: (change) => {
      const key = `${change.market ?? 'spot'}:${change.symbol}`
      book.add(key, change)
      cache.forget(`${key}:`)
    },
  }
}

function monthSeries(
  months: Months,
  interval: Timeframe,
  load: (month: MonthFiles, range: { startMs: EpochMs; endMs: EpochMs }) => Block | Promise<Block>,
): BarSeries {
  return {
    interval,
    startMs: months[0]!.range.startMs,
    endMs: months.at(-1)!.range.endMs,
    // A month's block reaches to the next month that has files, so that years without any cost one step.
    block: (ms) => {
      let index = months.length - 1
      while (index > 0 && months[index]!.range.startMs > ms) index--
      const month = months[index]!
      const endMs = months[index + 1]?.range.startMs ?? month.range.endMs
      return load(month, { startMs: month.range.startMs, endMs })
    },
    forming: formingRow,
  }
}

async function readMonth(month: MonthFiles, range: { startMs: EpochMs; endMs: EpochMs }): Promise<Block> {
  const read = []
  for (const path of month.paths) read.push(readCsv(await readZippedCsv(path), path))
  return blockOfCsv(read, range.startMs, range.endMs)
}

/** `market:symbol:interval` → its files. */
async function findFiles(root: string): Promise<Map<string, Months>> {
  const found = new Map<string, Map<EpochMs, MonthFiles>>()
  for (const base of [root, join(root, 'data'), join(root, 'binance-vision', 'data')])
    for (const market of ['spot', 'um'] as const)
      for (const period of ['monthly', 'daily'])
        await findPeriod(join(base, folders[market], period, 'klines'), market, found)
  if (found.size === 0) {
    throw new EverybarError('simulator.no-data', `no archive files under ${root}`, {
      recovery: 'abort',
      hint: 'Name the folder that holds data/spot/monthly/klines/SYMBOL/INTERVAL/*.zip.',
      path: root,
    })
  }
  return new Map(
    [...found].map(([key, months]) => [
      key,
      [...months.values()].sort((a, b) => a.range.startMs - b.range.startMs),
    ]),
  )
}

async function findPeriod(
  klines: string,
  market: Market,
  found: Map<string, Map<EpochMs, MonthFiles>>,
): Promise<void> {
  for (const symbol of await list(klines)) {
    for (const folder of await list(join(klines, symbol))) {
      const interval = folder === '1mo' ? '1M' : folder
      const months = found.get(`${market}:${symbol}:${interval}`) ?? new Map<EpochMs, MonthFiles>()
      for (const name of await list(join(klines, symbol, folder))) {
        const day = nameDate(name, `${symbol}-${folder}-`)
        if (day === undefined) continue
        const range = monthOf(day)
        const month = months.get(range.startMs) ?? { range, paths: [] }
        month.paths.push(join(klines, symbol, folder, name))
        months.set(range.startMs, month)
      }
      if (months.size > 0) found.set(`${market}:${symbol}:${interval}`, months)
    }
  }
}

/** The day a file name ends with, or the first of the month; `undefined` for other files. */
function nameDate(name: string, prefix: string): EpochMs | undefined {
  if (!name.startsWith(prefix) || !name.endsWith('.zip')) return undefined
  const match = /^(\d{4}-\d{2})(-\d{2})?$/.exec(name.slice(prefix.length, -4))
  const ms = match ? Date.parse(`${match[1]}${match[2] ?? '-01'}T00:00:00Z`) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}

/** Names in a folder, sorted; none where there is no such folder. */
async function list(folder: string): Promise<string[]> {
  const entry = await stat(folder).catch(() => undefined)
  return entry?.isDirectory() ? (await readdir(folder)).sort() : []
}

/** From the files' names, but for the newest month, which is read to find where the replay ends. */
async function describe(
  files: ReadonlyMap<string, Months>,
  native: (market: Market, symbol: string, interval: Timeframe) => BarSeries | undefined,
): Promise<{ listings: Listing[]; lastCloseMs: EpochMs }> {
  const listings = new Map<string, Listing>()
  const newest = Math.max(...[...files.values()].map((months) => months.at(-1)!.range.endMs))
  let lastCloseMs = 0
  for (const [key, months] of files) {
    const [market, symbol, interval] = key.split(':') as [Market, string, Timeframe]
    const known = listings.get(`${market}:${symbol}`)
    const onboardMs = Math.min(months[0]!.range.startMs, known?.onboardMs ?? Number.POSITIVE_INFINITY)
    const decimals = { priceDecimals: 8, quantityDecimals: 8 }
    listings.set(`${market}:${symbol}`, { market, symbol, status: 'TRADING', onboardMs, ...decimals })
    if (months.at(-1)!.range.endMs < newest) continue
    const last = await native(market, symbol, interval)!.block(newest - 1)
    if (last.times.length > 0) lastCloseMs = Math.max(lastCloseMs, rowAt(last, last.times.length - 1)[6] + 1)
  }
  return { listings: [...listings.values()], lastCloseMs: lastCloseMs || newest }
}
