import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { allocateBatch, type BarBatch } from '../model/bar.ts'
import { parseSeries, type Series } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import { BarDigest } from '../store/digest.ts'
import type { Store } from '../store/store.ts'
import type { StorePlace } from './store-contract.ts'

const MINUTE = 60_000
const start = Date.UTC(2023, 0, 1)
const everything: TimeRange = { startMs: 0, endMs: Date.UTC(2100, 0, 1) }
const series = (symbol: string): Series => parseSeries(`test:spot:${symbol}:1m`)

/** `length` bars, `every` minutes apart, from bar number `from` on, with the columns of a venue that has all but open interest. */
function bulk(from: number, length: number, every = 1): BarBatch {
  const batch = allocateBatch(length, ['closeTimeMs', 'quoteVolume', 'trades'])
  for (let i = 0; i < length; i++) {
    const n = from + i
    const price = 20_000 + (n % 7_919) / 8
    batch.openTimeMs[i] = start + n * every * MINUTE
    batch.open[i] = price
    batch.high[i] = price + 5
    batch.low[i] = price - 5
    batch.close[i] = price + 1
    batch.volume[i] = (n % 101) / 4
    batch.native.closeTimeMs![i] = start + (n + 1) * every * MINUTE - 1
    batch.native.quoteVolume![i] = price * batch.volume[i]!
    batch.native.trades![i] = n % 1_000
  }
  return batch
}

export interface EnduranceLimits {
  /** Bars to write and read; a million unless said. */
  readonly bars?: number
  /** Bars a commit holds; fifty thousand unless said. */
  readonly barsPerCommit?: number
  /** Of typed arrays and buffers in use while reading, above what was in use before; 32 MB unless said. */
  readonly bytesMax?: number
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of typed arrays and buffers, without those that only wait to be collected. */
function bytesInUse(): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

/**
 * What a store keeps up over many bars and through stops: memory that does not grow with the bars, a commit that is
 * stopped half way, a process that never closed it.
 */
export function storeEndurance(
  name: string,
  makePlace: () => Promise<StorePlace>,
  { bars = 1_000_000, barsPerCommit = 50_000, bytesMax = 32_000_000 }: EnduranceLimits = {},
): void {
  const withPlace = async (use: (place: StorePlace) => Promise<void>) => {
    const place = await makePlace()
    try {
      await use(place)
    } finally {
      await place.remove?.()
    }
  }
  const withStore = async (place: StorePlace, use: (store: Store) => Promise<void>) => {
    const store = await place.open()
    try {
      await use(store)
    } finally {
      await store[Symbol.asyncDispose]()
    }
  }

  describe(`store endurance: ${name}`, () => {
    test(`${bars} bars in, the same out, in runs of bounded size and constant memory`, () =>
      withPlace((place) =>
        withStore(place, async (store) => {
          const written = new BarDigest()
          for (let from = 0; from < bars; from += barsPerCommit) {
            const batch = bulk(from, Math.min(barsPerCommit, bars - from))
            expect(await store.commit(series('BULK'), batch)).toMatchObject({ inserted: batch.length })
            written.add(batch)
          }
          const read = new BarDigest()
          const before = bytesInUse()
          let longest = 0
          let highest = 0
          for await (const run of store.scan(series('BULK'), everything)) {
            read.add(run)
            longest = Math.max(longest, run.length)
            highest = Math.max(highest, bytesInUse())
          }
          expect(read.rows).toBe(bars)
          expect(read.hex()).toBe(written.hex())
          expect(longest).toBeLessThanOrEqual(31 * 24 * 60)
          expect(highest - before).toBeLessThan(bytesMax)
        }),
      ))

    test('a commit that is stopped at any moment leaves whole months, and the next one goes through', () =>
      withPlace((place) =>
        withStore(place, async (store) => {
          // Three months, so that a store that commits month by month may stop between two.
          const batch = bulk(0, 90 * 24 * 12, 5)
          const months = [31, 28, 31].map((days) => days * 24 * 12)
          for (const [i, waitMs] of [0, 1, 3, 10, 30, 60].entries()) {
            const one = series(`STOPPED${i}`)
            const abort = new AbortController()
            const stopped = store.commit(one, batch, abort.signal).then(
              () => true,
              () => false,
            )
            await sleep(waitMs)
            abort.abort(new Error('stop'))
            const whole = await stopped
            const rows = (await store.extent(one))?.rows ?? 0
            const allowed = whole ? [batch.length] : [0, months[0]!, months[0]! + months[1]!, batch.length]
            expect(allowed).toContain(rows)
            const again = await store.commit(one, batch)
            expect(again.inserted + again.unchanged).toBe(batch.length)
            expect((await store.extent(one))!.rows).toBe(batch.length)
          }
        }),
      ))

    test('what was committed is seen by the next process, also when this one never closes', () =>
      withPlace(async (place) => {
        const first = await place.open()
        await first.commit(series('LEFT'), bulk(0, 1_000))
        await withStore(place, async (second) => {
          expect((await second.extent(series('LEFT')))!.rows).toBe(1_000)
          expect(await second.commit(series('LEFT'), bulk(0, 1_500))).toMatchObject({
            inserted: 500,
            unchanged: 1_000,
          })
        })
        await first[Symbol.asyncDispose]()
      }))
  })
}
