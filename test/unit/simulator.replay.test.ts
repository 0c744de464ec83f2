import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { sharedData } from '../shared-data.ts'

interface Forged {
  /** What stands in the file; the text as it is unless given. */
  readonly data?: Buffer
  readonly packed?: boolean
  /** Bytes it says it unpacks to. */
  readonly size?: number
  readonly members?: number
}

/** A zip file with one member, stored unless said: all the format needs. */
function zip(name: string, text: string, forged: Forged = {}): Buffer {
  const plain = Buffer.from(text)
  const { data = plain, packed = false, size = plain.length, members = 1 } = forged
  const file = Buffer.from(name)
  const fields = Buffer.alloc(26)
  fields.writeUInt16LE(20, 0)
  fields.writeUInt16LE(packed ? 8 : 0, 4)
  fields.writeUInt32LE(crc32(plain), 10)
  fields.writeUInt32LE(data.length, 14)
  fields.writeUInt32LE(size, 18)
  fields.writeUInt16LE(file.length, 22)
  const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, file, data])
  const central = Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, Buffer.alloc(14), file])
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(members, 8)
  end.writeUInt16LE(members, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(local.length, 16)
  return Buffer.concat([local, central, end])
}

/** The text of a zip file's first member, by its entry in the central directory. */
function unzip(file: Buffer): string {
  const central = file.indexOf(Buffer.from('PK\x01\x02', 'latin1'))
  const local = file.readUInt32LE(central + 42)
  const start = local + 30 + file.readUInt16LE(local + 26) + file.readUInt16LE(local + 28)
  return inflateRawSync(file.subarray(start, start + file.readUInt32LE(central + 20))).toString('latin1')
}

const at = (day: number, minute = 0) => Date.UTC(2024, 11, day) + minute * 60_000
/** A line of the archive: prices from the minute, times in ms or µs. */
const line = (ms: number, price = '1.10000000', micro = false) => {
  const open = micro ? `${ms}000` : `${ms}`
  const close = micro ? `${ms + 59_999}999` : `${ms + 59_999}`
  return `${open},${price},${price},${price},${price},2.5,${close},2.75000000,3,1.0,1.10,0`
}
const header =
  'open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'everybar-replay-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folders = 0
/** A replay of files given as `path below data/klines folders` → CSV text. */
async function replayOf(
  files: Record<string, string | Buffer>,
  options = {},
  below = 'data',
): Promise<Simulator> {
  const folder = join(root, String(folders++))
  for (const [path, content] of Object.entries(files)) {
    const full = join(folder, below, path)
    mkdirSync(dirname(full), { recursive: true })
    const name = path.split('/').at(-1)!.replace('.zip', '.csv')
    writeFileSync(full, typeof content === 'string' ? zip(name, content) : content)
  }
  return startSimulator({ replay: folder, weightLimit: Number.POSITIVE_INFINITY, ...options })
}

const monthly = (month: string, symbol = 'BTCUSDT') =>
  `spot/monthly/klines/${symbol}/1m/${symbol}-1m-${month}.zip`
const daily = (day: string) => `spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-${day}.zip`

type Row = [number, ...(string | number)[]]
async function rows(
  venue: Simulator,
  query: Record<string, string | number> = {},
  base = '/api/v3',
): Promise<Row[]> {
  const all = { symbol: 'BTCUSDT', interval: '1m', startTime: 0, ...query } as unknown as Record<
    string,
    string
  >
  const response = await fetch(`${venue.url}${base}/klines?${new URLSearchParams(all)}`)
  expect(response.status).toBe(200)
  return (await response.json()) as Row[]
}

describe('files become bars', () => {
  test('numbers stay as the file has them; microseconds become milliseconds; a header is skipped', async () => {
    const venue = await replayOf({
      [monthly('2024-12')]: `${header}\r\n${line(at(1))}\r\n${line(at(1, 1), '0.00000001')}\r\n`,
      [monthly('2025-01')]: line(at(32), '93576.0', true),
    })
    expect(await rows(venue)).toEqual([
      [
        at(1),
        '1.10000000',
        '1.10000000',
        '1.10000000',
        '1.10000000',
        '2.5',
        at(1) + 59_999,
        '2.75000000',
        3,
        '1.0',
        '1.10',
        '0',
      ],
      [
        at(1, 1),
        '0.00000001',
        '0.00000001',
        '0.00000001',
        '0.00000001',
        '2.5',
        at(1, 1) + 59_999,
        '2.75000000',
        3,
        '1.0',
        '1.10',
        '0',
      ],
      [
        at(32),
        '93576.0',
        '93576.0',
        '93576.0',
        '93576.0',
        '2.5',
        at(32) + 59_999,
        '2.75000000',
        3,
        '1.0',
        '1.10',
        '0',
      ],
    ])
    await venue.close()
  })

  test('daily and monthly files merge, the monthly one first; lines in any order', async () => {
    const venue = await replayOf({
      [monthly('2024-12')]: [line(at(2)), line(at(1)), line(at(1, 1), '1.2')].join('\n'),
      [daily('2024-12-01')]: [line(at(1), '9.9'), line(at(1, 2))].join('\n'),
      [daily('2024-12-03')]: line(at(3)),
    })
    const seen = await rows(venue)
    expect(seen.map((row) => [row[0], row[1]])).toEqual([
      [at(1), '1.10000000'],
      [at(1, 1), '1.2'],
      [at(1, 2), '1.10000000'],
      [at(2), '1.10000000'],
      [at(3), '1.10000000'],
    ])
    await venue.close()
  })

  test('the clock starts half a minute after the last close, runs on, and can be set', async () => {
    const venue = await replayOf({ [monthly('2024-12')]: line(at(1)) })
    expect(venue.now() - (at(1, 1) + 30_000)).toBeGreaterThanOrEqual(0)
    expect(venue.now() - (at(1, 1) + 30_000)).toBeLessThan(5_000)
    venue.setNow(at(1) - 1, { held: true })
    expect(await rows(venue)).toEqual([])
    await venue.close()
    const early = await replayOf(
      { [monthly('2024-12')]: [line(at(1)), line(at(1, 1))].join('\n') },
      { nowMs: at(1, 1) },
    )
    const [, forming] = await rows(early)
    expect(forming!.slice(0, 6)).toEqual([
      at(1, 1),
      '1.10000000',
      '1.10000000',
      '1.10000000',
      '1.10000000',
      '0.0',
    ])
    await early.close()
  })

  test('months without files have no bars, and cost no reading', async () => {
    const venue = await replayOf({
      [monthly('2019-01')]: line(Date.UTC(2019, 0, 5)),
      [monthly('2024-12')]: line(at(1)),
    })
    expect((await rows(venue)).map((row) => row[0])).toEqual([Date.UTC(2019, 0, 5), at(1)])
    expect(await rows(venue, { startTime: Date.UTC(2020, 0), endTime: Date.UTC(2024, 0) })).toEqual([])
    await venue.close()
  })

  test('an interval with files is served from them, one without is made from minutes', async () => {
    const minutes = Array.from({ length: 10 }, (_, i) => line(at(1, i), `1.${i}`)).join('\n')
    const venue = await replayOf({
      [monthly('2024-12')]: minutes,
      'spot/monthly/klines/BTCUSDT/1mo/BTCUSDT-1mo-2024-12.zip': line(at(1), '7.7'),
    })
    const five = await rows(venue, { interval: '5m' })
    expect(five.map((row) => row.slice(0, 9))).toEqual([
      [at(1), '1.0', '1.4', '1.0', '1.4', '12.5', at(1, 5) - 1, '13.75000000', 15],
      [at(1, 5), '1.5', '1.9', '1.5', '1.9', '12.5', at(1, 10) - 1, '13.75000000', 15],
    ])
    expect((await rows(venue, { interval: '1M' })).map((row) => row[1])).toEqual(['7.7'])
    const second = await fetch(`${venue.url}/api/v3/klines?symbol=BTCUSDT&interval=1s`)
    expect(await second.json()).toEqual({ code: -1120, msg: 'Invalid interval.' })
    await venue.close()
  })

  test('a corrected bar', async () => {
    const venue = await replayOf({ [monthly('2024-12')]: [line(at(1)), line(at(1, 1))].join('\n') })
    await rows(venue)
    venue.restate({ symbol: 'BTCUSDT', openTimeMs: at(1), close: '1.05' })
    expect((await rows(venue)).map((row) => row[4])).toEqual(['1.05', '1.10000000'])
    await venue.close()
  })

  test.each(['data', 'binance-vision/data', ''])('found below "%s"', async (below) => {
    const venue = await replayOf({ [monthly('2024-12')]: line(at(1)) }, {}, below)
    expect(venue.listings).toMatchObject([{ market: 'spot', symbol: 'BTCUSDT' }])
    await venue.close()
  })
})

describe('files that cannot be read', () => {
  const code = async (files: Record<string, string | Buffer>) => {
    const started = replayOf(files)
    return started.then(
      async (venue) => {
        await venue.close()
        return 'started'
      },
      (error: { code: string; path?: string }) => error.code,
    )
  }
  test.each<[string, Record<string, string | Buffer>, string]>([
    ['no files', { 'spot/readme.txt': Buffer.from('') }, 'simulator.no-data'],
    ['no zip file', { [monthly('2024-12')]: Buffer.from('<html>') }, 'simulator.bad-file'],
    ['no bytes', { [monthly('2024-12')]: Buffer.alloc(0) }, 'simulator.bad-file'],
    ['cut short', { [monthly('2024-12')]: zip('a.csv', line(at(1))).subarray(0, 60) }, 'simulator.bad-file'],
    ['another member', { [monthly('2024-12')]: zip('a.txt', line(at(1))) }, 'simulator.bad-file'],
    [
      'several members',
      { [monthly('2024-12')]: zip('a.csv', line(at(1)), { members: 2 }) },
      'simulator.bad-file',
    ],
    [
      'a member that leads out',
      { [monthly('2024-12')]: zip('../../evil.csv', line(at(1))) },
      'simulator.bad-file',
    ],
    [
      'a changed byte',
      { [monthly('2024-12')]: zip('a.csv', line(at(1)), { data: Buffer.from(line(at(1), '1.10000001')) }) },
      'simulator.bad-file',
    ],
    [
      'a bomb',
      { [monthly('2024-12')]: zip('a.csv', '', { packed: true, data: deflateRawSync('x'), size: 700e6 }) },
      'simulator.bad-file',
    ],
    [
      'a bomb that says it is none',
      {
        [monthly('2024-12')]: zip('a.csv', '', {
          packed: true,
          data: deflateRawSync(Buffer.alloc(20e6)),
          size: 100,
        }),
      },
      'simulator.bad-file',
    ],
    ['too few columns', { [monthly('2024-12')]: '1733011200000,1,2' }, 'simulator.bad-file'],
    ['text for a number', { [monthly('2024-12')]: line(at(1), 'x"],["') }, 'simulator.bad-file'],
    [
      'only files of another name',
      { [monthly('2024-12').replace('-1m-', '-2m-')]: line(at(1)) },
      'simulator.no-data',
    ],
  ])('%s', async (_, files, expected) => {
    expect(await code(files)).toBe(expected)
  })
})

const realRoot = sharedData && join(sharedData, 'binance-vision', 'data')

describe.skipIf(!realRoot)('real months (skipped where ../shared/data is absent)', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ replay: sharedData!, weightLimit: Number.POSITIVE_INFINITY })
  })
  afterAll(() => venue.close())

  const files = (folder: string): string[] =>
    readdirSync(folder).flatMap((name) => {
      const path = join(folder, name)
      return statSync(path).isDirectory() ? files(path) : path.endsWith('.zip') ? [path] : []
    })
  const months = realRoot
    ? files(realRoot)
        .filter((path) => path.includes('/monthly/'))
        .map((path) => path.slice(realRoot.length + 1))
    : ['absent']

  /** Rows as CSV lines in ms, read without the code under test: these zip files have one deflated member. */
  const csvLines = (path: string): string[] =>
    unzip(readFileSync(path))
      .trim()
      .split(/\r?\n/)
      .filter((text) => /^\d/.test(text))
      .map((text) => {
        const cells = text.split(',')
        for (const i of [0, 6])
          if (Number(cells[i]) >= 1e14) cells[i] = String(Math.floor(Number(cells[i]) / 1000))
        return cells.join(',')
      })

  test.each(months)('%s through paging is the CSV file, field for field', async (path) => {
    const [, market, symbol, month] =
      /(spot|um)\/monthly\/klines\/([A-Z]+)\/1m\/\w+-1m-(\d{4}-\d{2})\.zip$/.exec(path)!
    const [base, limit] = market === 'spot' ? ['/api/v3', 1000] : ['/fapi/v1', 1500]
    const from = Date.parse(`${month}-01T00:00:00Z`)
    const endTime = new Date(from).setUTCMonth(new Date(from).getUTCMonth() + 1) - 1
    const served: string[] = []
    for (let startTime = from; ; ) {
      const page = await rows(venue, { symbol: symbol!, startTime, endTime, limit }, base as string)
      if (page.length === 0) break
      for (const row of page) served.push(row.join(','))
      startTime = page.at(-1)![0] + 1
    }
    const expected = csvLines(join(realRoot!, path))
    expect(served.length).toBe(expected.length)
    const hash = (lines: string[]) => createHash('sha256').update(lines.join('\n')).digest('hex')
    expect(served.findIndex((text, i) => text !== expected[i])).toBe(-1)
    expect(hash(served)).toBe(hash(expected))
  })
})
