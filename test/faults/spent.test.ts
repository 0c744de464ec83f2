import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type OpenHouse, openHouse } from '../../src/app/house.ts'
import { openSpendBook } from '../../src/app/spends.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { Fetcher } from '../../src/fetch/fetcher.ts'
import type { SpendBook } from '../../src/fetch/spend-book.ts'
import { createFetcher } from '../../src/fetch/undici/create-fetcher.ts'
import { DAY_MS } from '../../src/model/time.ts'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { KITE_BUCKET, kiteLimits } from '../../src/source/kite/sources.ts'
import { httpServer, systemClock } from '../http-server.ts'
import { inFolder } from '../run-cli.ts'

// The venue here sends no counter: what a run knows of the one before it, it knows from the root.

test('one house after another in the same second: together they keep to the limit', async () => {
  const venue = await startKiteSimulator({ instruments: 1, requestsPerSecond: 3 })
  const token = venue.instruments()[0]!.token
  const question = 'from=2024-03-01+00:00:00&to=2024-03-04+23:59:59'
  const url = `${venue.url}/instruments/historical/${token}/day?${question}`
  const headers = { authorization: `token ${venue.apiKey}:${venue.accessToken()}` }
  const ask = (house: OpenHouse, count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        house.fetcher.fetch({ url, headers, bucket: KITE_BUCKET, weight: 1 }),
      ),
    )
  try {
    await inFolder(async (root) => {
      for (const access of ['write', 'read', 'write'] as const) {
        const config = configSchema.parse({ root })
        const house = await openHouse({ config, access, command: 'test', onEvent: () => {} })
        house.fetcher.setLimits(kiteLimits())
        await ask(house, 3)
        await house[Symbol.asyncDispose]()
      }
      expect(venue.stats()).toMatchObject({ historical: 9, refused: 0, peakPerSecond: 3 })
    })
  } finally {
    await venue.close()
  }
})

test.each([
  ['were answered', true],
  ['were on their way when it was killed', false],
])(
  'a process whose requests %s: the next one waits until their window has passed',
  async (_name, answered) => {
    const windowMs = 700
    const limits = [{ bucket: 'venue', capacity: 3, windowMs, counts: 'requests' as const }]
    const arrivedAt: number[] = []
    const allThere = Promise.withResolvers<void>()
    const server = await httpServer((n, response) => {
      arrivedAt.push(performance.now())
      if (n === 3) allThere.resolve()
      if (n === 1 || n > 3 || answered) response.end('[]')
    })
    await inFolder(async (root) => {
      mkdirSync(join(root, '.everybar'))
      const start = () =>
        createFetcher({
          clock: systemClock,
          onEvent: () => {},
          limits,
          spends: openSpendBook(root, systemClock),
        })
      const get = (fetcher: Fetcher) => fetcher.fetch({ url: server.baseUrl, bucket: 'venue', weight: 1 })
      const first = start()
      const asked = Promise.allSettled([get(first), get(first), get(first)])
      await (answered ? asked : allThere.promise)
      const second = start()
      const startedAt = performance.now()
      await Promise.all([get(second), get(second), get(second)])
      // Answered ones count from their answer; of others nobody knows, so they count from now.
      const freeAt = answered ? arrivedAt[0]! : startedAt
      expect(arrivedAt[3]! - freeAt).toBeGreaterThan(windowMs)
      expect(arrivedAt[5]! - arrivedAt[2]!).toBeGreaterThan(windowMs)
      for (const fetcher of [first, second]) await fetcher[Symbol.asyncDispose]()
      await asked
    })
    await server.close()
  },
)

/** A book on a clock of its own in a folder of its own. */
async function withFile(
  use: (at: {
    readonly path: string
    readonly set: (ms: number) => void
    readonly open: () => SpendBook
  }) => void,
): Promise<void> {
  await inFolder((root) => {
    mkdirSync(join(root, '.everybar'))
    let nowMs = 1_700_000_000_000
    use({
      path: join(root, '.everybar', 'spent.jsonl'),
      set: (ms) => {
        nowMs = 1_700_000_000_000 + ms
      },
      open: () => openSpendBook(root, { ...systemClock, nowMs: () => nowMs }),
    })
  })
}

const here = { bucket: 'venue', origin: 'https://a.test' }
const at = (ms: number, weight: number, requests = 1) => ({
  ...here,
  atMs: 1_700_000_000_000 + ms,
  weight,
  requests,
})

describe('the file of what was spent', () => {
  test('what a killed process has left beside it goes with the next request', () =>
    withFile(({ path, open }) => {
      const book = open()
      book.left(here, 5)
      const folder = dirname(path)
      for (const name of ['spent.jsonl.Ab-9_x01.tmp', 'spent.jsonl.4711.tmp'])
        writeFileSync(join(folder, name), 'half a li')
      book.over(here, 5)
      const next = open()
      next.left(here, 1)
      expect(readdirSync(folder)).toEqual(['spent.jsonl'])
      expect(open().known()).toEqual([at(0, 5), at(0, 1)])
    }))

  test('what is over counts from then, what was on its way counts from now; other addresses are apart', () =>
    withFile(({ open, set }) => {
      const book = open()
      const other = { bucket: 'venue', origin: 'https://b.test' }
      book.left(here, 5)
      book.left(other, 7)
      set(100)
      book.over(here, 5)
      set(200)
      book.left(here, 2)
      set(90_000)
      expect(open().known()).toEqual([
        at(100, 5),
        at(90_000, 2),
        { ...other, atMs: at(90_000, 0).atMs, weight: 7, requests: 1 },
      ])
      open().left(here, 1)
      expect(open().known()).toHaveLength(4)
    }))

  test('a process that follows keeps what is there, once', () =>
    withFile(({ open, set }) => {
      for (let i = 0; i < 20; i++) {
        set(i * 1_000)
        const book = open()
        book.left(here, 3)
        book.over(here, 3)
      }
      expect(open().known()).toEqual(Array.from({ length: 20 }, (_, i) => at(i * 1_000, 3)))
    }))

  test('a line that a kill cut off, lines of another kind, and no file at all', () =>
    withFile(({ open, path }) => {
      expect(open().known()).toEqual([])
      const book = open()
      book.left(here, 1)
      book.over(here, 1)
      const whole = readFileSync(path, 'utf8')
      for (const rest of [
        '["x","venue","https://a.',
        '{}\nnull\n[1,2]\n["x","venue","y",-1,0,0,0,0]\n',
        '\0\0',
      ]) {
        writeFileSync(path, whole + rest)
        expect(open().known()).toEqual([at(0, 1)])
        const next = open()
        next.left(here, 1)
        next.over(here, 1)
        expect(open().known()).toEqual([at(0, 1), at(0, 1)])
      }
      rmSync(path)
      mkdirSync(path)
      const hindered = open()
      hindered.left(here, 1)
      hindered.over(here, 1)
      expect(hindered.known()).toEqual([])
    }))

  test('a clock that was ahead: as spent now, and gone when a day has passed', () =>
    withFile(({ open, set }) => {
      set(10 * 365 * DAY_MS)
      const wrong = open()
      wrong.left(here, 4)
      wrong.over(here, 4)
      set(0)
      expect(open().known()).toEqual([at(0, 4)])
      const next = open()
      next.left(here, 1)
      next.over(here, 1)
      set(1_000)
      expect(open().known()).toEqual([at(0, 4), at(0, 1)])
      set(2 * DAY_MS)
      open().left(here, 1)
      expect(open().known()).toEqual([at(2 * DAY_MS, 1)])
    }))

  test('stays small, loses none, and dates none earlier, nor later by more than a part of its age', () =>
    withFile(({ open, path, set }) => {
      const book = open()
      const stepMs = 40
      for (let i = 0; i < 10_000; i++) {
        set(i * stepMs)
        book.left(here, 2)
        book.over(here, 2)
        if (i % 997 === 0) expect(statSync(path).size).toBeLessThan(300_000)
      }
      const nowMs = at(9_999 * stepMs, 0).atMs
      const known = [...open().known()].sort((a, b) => a.atMs - b.atMs)
      expect(known.reduce((sum, { requests }) => sum + requests, 0)).toBe(10_000)
      expect(known.reduce((sum, { weight }) => sum + weight, 0)).toBe(20_000)
      // The n-th request was over at n × 40 ms.
      let n = 0
      for (const { atMs, requests } of known) {
        const firstMs = at(n * stepMs, 0).atMs
        n += requests
        expect(atMs).toBeGreaterThanOrEqual(at((n - 1) * stepMs, 0).atMs)
        expect(atMs - firstMs).toBeLessThanOrEqual((nowMs - firstMs) / 32 + 1)
      }
    }))
})
