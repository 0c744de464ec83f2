import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { createGunzip, gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { faultKinds, parseFaults } from '../../src/simulator/faults.ts'
import { hostile } from '../../src/simulator/hostile.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'

const START = Date.UTC(2024, 0, 10)
const WEEK = 7 * 86_400_000

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({ fromMs: Date.UTC(2024, 0, 1), nowMs: Date.UTC(2024, 0, 31) })
})
afterAll(() => venue.close())

interface Seen {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
  /** `undefined` when the answer came whole. */
  readonly failure: string | undefined
}

/** Asks by node:http, which leaves bodies as they come; gives up after `patience` ms without the end. */
function ask(path: string, patience = 2000): Promise<Seen> {
  return new Promise((resolve) => {
    let status = 0
    let headers: Seen['headers'] = {}
    const chunks: Buffer[] = []
    let timer: NodeJS.Timeout | undefined
    const wait = (ms: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => done('timeout'), ms)
    }
    const done = (failure?: string) => {
      clearTimeout(timer)
      outgoing.destroy()
      resolve({ status, headers, body: Buffer.concat(chunks), failure })
    }
    const outgoing = request(venue.url + path, { agent: false }, (response) => {
      status = response.statusCode!
      headers = response.headers
      wait(patience)
      response.on('data', (chunk: Buffer) => {
        wait(patience)
        chunks.push(chunk)
        if (chunks.reduce((sum, c) => sum + c.length, 0) > 20_000_000) done('too long')
      })
      response.on('end', () => done())
      response.on('error', (error: NodeJS.ErrnoException) => done(error.code))
    })
    outgoing.on('error', (error: NodeJS.ErrnoException) => done(error.code))
    wait(20_000)
    outgoing.end()
  })
}

const page = `/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${START}&limit=100`

/** The page as one fault leaves it. */
async function spoiled(fault: string, patience?: number): Promise<Seen> {
  venue.setFaults(fault)
  const seen = await ask(page, patience)
  venue.setFaults('')
  return seen
}

type Row = (string | number | null)[]
const rowsOf = (seen: Seen) => JSON.parse(seen.body.toString()) as Row[]

describe('answers that are none', () => {
  test.each([
    ['html', 200, /^<!DOCTYPE html>/],
    ['blank', 200, /^$/],
    ['null', 200, /^null$/],
    ['empty', 200, /^\[\]$/],
    ['error', 200, /^\{"code":-1000,"msg":".+"\}$/],
    ['error=1121', 200, /^\{"code":-1121,/],
    ['truncate=50', 200, /^\[\[.{48}$/],
    ['500', 500, /^<!DOCTYPE html>/],
    ['503', 503, /^<!DOCTYPE html>/],
    ['403', 403, /Request blocked/],
    ['451', 451, /^<!DOCTYPE html>/],
    ['redirect', 302, /^$/],
  ])('%s', async (fault, status, body) => {
    const seen = await spoiled(fault)
    expect(seen.failure).toBeUndefined()
    expect(seen.status).toBe(status)
    expect(seen.body.toString()).toMatch(body)
    if (status !== 302) expect(Number(seen.headers['content-length'])).toBe(seen.body.length)
    else expect(seen.headers.location).toMatch(/^http:\/\/elsewhere\.invalid/)
  })

  test('429 and 418 are the real thing; 429-bare does not say how long', async () => {
    const refused = await spoiled('429')
    expect([refused.status, Number(refused.headers['retry-after']) >= 1]).toEqual([429, true])
    venue.setNow(venue.now() + 60_000)
    const bare = await spoiled('429-bare')
    expect([bare.status, bare.headers['retry-after']]).toEqual([429, undefined])
    venue.setNow(venue.now() + 60_000)
    const banned = await spoiled('418')
    expect([banned.status, banned.headers['retry-after']]).toEqual([418, '120'])
    expect((await ask('/api/v3/ping')).status).toBe(418)
    venue.setNow(venue.now() + 120_000)
    expect((await ask('/api/v3/ping')).status).toBe(200)
  })

  test('weight-jump adds to the used weight of the window', async () => {
    venue.setNow(venue.now() + 60_000)
    expect((await spoiled('weight-jump=5000')).headers['x-mbx-used-weight-1m']).toBe('5002')
    expect((await ask(page)).headers['x-mbx-used-weight-1m']).toBe('5004')
    venue.setNow(venue.now() + 60_000)
  })
})

describe('answers that do not arrive', () => {
  test('reset: half the body', async () => {
    const seen = await spoiled('reset')
    expect(seen.failure).toBe('ECONNRESET')
    expect(seen.body.length).toBeLessThan(Number(seen.headers['content-length']))
  })
  test('drop: nothing at all', async () => {
    expect(await spoiled('drop')).toMatchObject({ status: 0, failure: 'ECONNRESET' })
  })
  test('stall: headers and half the body, then nothing', async () => {
    const seen = await spoiled('stall', 300)
    expect([seen.status, seen.failure]).toEqual([200, 'timeout'])
    expect(seen.body.length).toBe(Number(seen.headers['content-length']) >> 1)
  })
  test('slow: whole, in time', async () => {
    const started = performance.now()
    expect(rowsOf(await spoiled('slow=10'))).toHaveLength(100)
    expect(performance.now() - started).toBeGreaterThan(150)
  })
  test('endless: more than anyone wants, at the client’s pace', async () => {
    expect(await spoiled('endless', 10_000)).toMatchObject({ status: 200, failure: 'too long' })
  })
  test('bad-gzip cannot be unpacked', async () => {
    const seen = await spoiled('bad-gzip')
    expect(seen.headers['content-encoding']).toBe('gzip')
    expect(() => gunzipSync(seen.body)).toThrow()
  })
  test('gzip-bomb unpacks to a thousand times its size', async () => {
    const seen = await spoiled('gzip-bomb=128', 10_000)
    const unpacked = createGunzip()
    let size = 0
    unpacked.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    unpacked.end(seen.body)
    await new Promise((resolve) => unpacked.on('end', resolve))
    expect(size).toBe(128 * 1024 * 1024)
    expect(seen.body.length).toBeLessThan(size / 500)
  })
})

describe('rows that are not right', () => {
  const middle = 50
  let honest: Row[]
  beforeAll(async () => {
    honest = rowsOf(await ask(page))
  })
  const withCell = (column: number, cell: unknown) =>
    honest.map((row, i) => (i === middle ? row.map((was, j) => (j === column ? cell : was)) : row))

  test.each<[string, () => unknown]>([
    ['duplicate', () => [...honest.slice(0, middle + 1), ...honest.slice(middle)]],
    ['reverse', () => [...honest].reverse()],
    ['shuffle', () => [...honest.slice(middle), ...honest.slice(0, middle)]],
    [
      'off-grid',
      () =>
        honest.map((row, i) =>
          i === middle ? row.map((cell, j) => (j === 0 || j === 6 ? Number(cell) + 14_789 : cell)) : row,
        ),
    ],
    [
      'next-week',
      () => [...honest, honest.at(-1)!.map((cell, j) => (j === 0 || j === 6 ? Number(cell) + WEEK : cell))],
    ],
    ['null-price', () => withCell(4, null)],
    ['nan', () => withCell(4, 'NaN')],
    ['blanks', () => withCell(5, '')],
    ['negative', () => withCell(3, '-1.00000000')],
    ['short', () => honest.slice(0, 50)],
    ['hole=3', () => [...honest.slice(0, middle), ...honest.slice(middle + 3)]],
    ['missing-columns', () => honest.map((row) => row.slice(0, 7))],
    ['extra-columns', () => honest.map((row) => [...row, '0'])],
    [
      'micros',
      () =>
        honest.map((row) =>
          row.map((cell, j) => (j === 0 ? Number(cell) * 1000 : j === 6 ? Number(cell) * 1000 + 999 : cell)),
        ),
    ],
    ['numbers', () => honest.map((row) => row.map(Number))],
  ])('%s', async (fault, expected) => {
    expect(rowsOf(await spoiled(fault))).toEqual(expected())
  })

  test('high-below-low, exponent and restated change the middle row and no other', async () => {
    for (const fault of ['high-below-low', 'exponent', 'restated']) {
      const rows = rowsOf(await spoiled(fault))
      expect(
        rows
          .map((row, i) => (JSON.stringify(row) === JSON.stringify(honest[i]) ? -1 : i))
          .filter((i) => i >= 0),
      ).toEqual([middle])
    }
    const [crossed] = rowsOf(await spoiled('high-below-low')).slice(middle)
    expect(Number(crossed![2])).toBeLessThan(Number(crossed![3]))
    expect(rowsOf(await spoiled('exponent'))[middle]![1]).toMatch(/e\+/)
    const restated = rowsOf(await spoiled('restated'))[middle]!
    expect(restated[4]).toBe(honest[middle]![2])
    expect(rowsOf(await spoiled('restated'))[middle]).toEqual(restated)
  })

  test('every kind says what it does in docs/simulator.md, and has a name the parser takes', () => {
    const docs = readFileSync(new URL('../../docs/simulator.md', import.meta.url), 'utf8')
    for (const [kind, { what }] of Object.entries(hostile))
      expect(docs).toContain(`| \`${kind}\` | ${what} |`)
    for (const kind of faultKinds()) expect(parseFaults(kind)).toHaveLength(1)
  })
})

describe('when faults happen', () => {
  const statuses = async (faults: string, paths: readonly string[]) => {
    venue.setFaults(faults)
    const seen = []
    for (const path of paths) seen.push((await ask(path)).status)
    venue.setFaults('')
    return seen.join(' ')
  }
  const klines = (count: number) => Array<string>(count).fill(page)
  const time = '/api/v3/time'
  const eth = page.replace('BTC', 'ETH')

  test.each([
    ['500@2', klines(3), '200 500 200'],
    ['500@2..3', klines(4), '200 500 500 200'],
    ['500@3..', klines(4), '200 200 500 500'],
    ['500@/2', klines(4), '200 500 200 500'],
    ['500', klines(2), '500 500'],
    ['500@1,503@2,html@3', klines(3), '500 503 200'],
    ['500@1', [time, page, page], '200 500 200'],
    ['all:500@2', [time, page, page], '200 500 200'],
    ['time:500', [time, page, time], '500 200 500'],
    ['ETHUSDT:500@1', [page, eth, eth], '200 500 200'],
    ['500@0%', klines(3), '200 200 200'],
    ['500@100%', klines(3), '500 500 500'],
    ['', klines(2), '200 200'],
  ])('%s', async (faults, paths, expected) => {
    expect(await statuses(faults, paths)).toBe(expected)
  })

  test('by probability: about so often, and the same with the same seed', async () => {
    const run = async (seed: number) => {
      const other = await startSimulator({ seed, faults: '500@30%', weightLimit: Number.POSITIVE_INFINITY })
      const seen: number[] = []
      for (let i = 0; i < 200; i++) {
        const response = await fetch(`${other.url}/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1`)
        await response.text()
        seen.push(response.status)
      }
      await other.close()
      return seen
    }
    const first = await run(1)
    const hits = first.filter((status) => status === 500).length
    expect(hits).toBeGreaterThan(35)
    expect(hits).toBeLessThan(90)
    expect(await run(1)).toEqual(first)
    expect(await run(2)).not.toEqual(first)
  })

  test('the log says which request met what', async () => {
    venue.resetStats()
    await statuses('500@2', klines(2))
    const log = venue.log()
    expect(log.map(({ status, faults, bars }) => ({ status, faults, bars }))).toEqual([
      { status: 200, faults: [], bars: 100 },
      { status: 500, faults: ['status'], bars: 100 },
    ])
    expect(log[0]!.parameters).toEqual({
      symbol: 'BTCUSDT',
      interval: '1m',
      startTime: String(START),
      limit: '100',
    })
    expect(venue.stats()).toMatchObject({
      requests: 2,
      klines: { requests: 2, bars: 200 },
      faults: { status: 1 },
    })
  })
})

describe('parseFaults', () => {
  test.each([
    ['html@3', [{ kind: 'html', from: 3, to: 3 }]],
    [' empty@9.. , slow ', [{ kind: 'empty', from: 9 }, { kind: 'slow' }]],
    ['truncate=40@5', [{ kind: 'truncate', value: 40, from: 5, to: 5 }]],
    ['all:500@8', [{ kind: 'status', value: 500, scope: 'all', from: 8, to: 8 }]],
    ['BTCUSDT:null@/7', [{ kind: 'null', symbol: 'BTCUSDT', every: 7 }]],
    ['reset@2.5%', [{ kind: 'reset', probability: 0.025 }]],
    ['', []],
  ])('%s', (spec, rules) => {
    expect(parseFaults(spec)).toEqual(rules)
  })

  test.each([
    'htlm@3',
    'html@0',
    'html@5..3',
    'html@often',
    'html@101%',
    '200',
    'html@',
    '@3',
    'a:b:html',
    'constructor',
  ])('refuses %s', (spec) => {
    expect(() => parseFaults(spec)).toThrow(expect.objectContaining({ code: 'simulator.bad-faults' }))
  })
})
