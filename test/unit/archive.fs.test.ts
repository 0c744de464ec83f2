import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeFileSystem } from '../../src/app/filesystem.ts'
import type { ArchiveFolder } from '../../src/archive/archive.ts'
import { type FsArchiveOptions, openFsArchive } from '../../src/archive/fs/fs-archive.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import type { FileSystem } from '../../src/model/filesystem.ts'
import { response, sliceOf } from '../../src/testing/archive-samples.ts'
import { collect } from '../../src/testing/collect.ts'

const folder: ArchiveFolder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }
const { id } = sliceOf(folder)
const at = 1_704_067_200_000

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'everybar-fs-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const open = (options: Partial<FsArchiveOptions> = {}) =>
  openFsArchive({ root, compression: 'none', files: nodeFileSystem, ...options })
const put = (body: string | Uint8Array, archive = open()) =>
  archive.put(folder, sliceOf(folder), response(body), at + 300)
const responses = (...names: string[]) => join(root, 'binance/klines/raw/BTCUSDT/1m/responses', ...names)
const bodyOf = async (version = 0) => {
  const found = await open().get(folder, id, version)
  return found && new TextDecoder().decode(found.body)
}

describe('the file', () => {
  test('is a JSON document with the body as it came', async () => {
    const body = '[[1704067200000, "1.10"],\n [2]]'
    const { sha256 } = await put(body)
    const text = readFileSync(responses(`${id}.json`), 'utf8')
    expect(text).toContain(`\n"data":${body}\n}\n`)
    expect(JSON.parse(text)).toEqual({
      meta: {
        url: 'https://venue.test/klines?symbol=BTCUSDT',
        slice: sliceOf(folder).key,
        fetched_at: '2024-01-01T00:00:00.250Z',
        requested_at: '2024-01-01T00:00:00.001Z',
        http_status: 200,
        venue_time: '2024-01-01T00:00:00.300Z',
        sha256,
        bytes: body.length,
        check: expect.stringMatching(/^[0-9a-f]{16}$/),
      },
      data: [[1704067200000, '1.10'], [2]],
    })
  })

  test('holds what is no JSON as base64, and is a JSON document still', async () => {
    await put('<html>')
    const document = JSON.parse(readFileSync(responses(`${id}.json`), 'utf8')) as Record<string, unknown>
    expect(document).toMatchObject({ data: null, raw_base64: Buffer.from('<html>').toString('base64') })
  })

  test('compressed is the same file to any zstd tool', async () => {
    await put('[1]')
    const plain = readFileSync(responses(`${id}.json`))
    rmSync(responses(), { recursive: true })
    await put('[1]', open({ compression: 'zstd' }))
    expect(readdirSync(responses())).toEqual([`${id}.json.zst`])
    expect(zstdDecompressSync(readFileSync(responses(`${id}.json.zst`)))).toEqual(plain)
  })

  test('no other file is left beside it', async () => {
    const archive = open()
    await Promise.all([put('[1]', archive), put('[2]', archive), put('[2]', archive)])
    expect(readdirSync(responses()).every((name) => /^[0-9a-f]{32}(\.\d+)?\.json$/.test(name))).toBe(true)
  })

  test('months have a folder that differs by more than case', async () => {
    const month = { ...folder, timeframe: '1M' }
    await open().put(month, sliceOf(month), response('[]'), at)
    expect(readdirSync(join(root, 'binance/klines/raw/BTCUSDT'))).toEqual(['1mon'])
  })

  test('a slice keeps the form of its first answer, whatever the setting', async () => {
    await put('[1]')
    await put('[2]', open({ compression: 'zstd' }))
    expect(readdirSync(responses()).sort()).toEqual([`${id}.1.json`, `${id}.json`])
    expect([await bodyOf(), await bodyOf(1)]).toEqual(['[2]', '[1]'])
  })
})

describe('what others do to the folder', () => {
  test('a damaged answer is replaced, reported and not kept', async () => {
    await put('[1]')
    writeFileSync(responses(`${id}.json`), 'damaged')
    const events: EverybarEvent[] = []
    await put('[2]', open({ onEvent: (event) => events.push(event) }))
    expect(events).toMatchObject([{ event: 'archive_damaged_replaced', path: responses(`${id}.json`) }])
    expect(readdirSync(responses())).toEqual([`${id}.json`])
    expect(await bodyOf()).toBe('[2]')
  })

  test('a folder removed while the archive is open is made again', async () => {
    const archive = open()
    await put('[1]', archive)
    rmSync(join(root, 'binance'), { recursive: true })
    expect(await archive.get(folder, id)).toBeUndefined()
    await put('[2]', archive)
    expect(await bodyOf()).toBe('[2]')
  })

  test('files and folders that are not ours are passed over', async () => {
    await put('[1]')
    for (const name of ['notes.txt', `${id}.json.bak`, `${id}.0.json`, '.tmp-1-x-0', 'x.json'])
      writeFileSync(responses(name), '')
    await nodeFileSystem.makeDirectory(join(root, 'lake/binance/2024/01'))
    await nodeFileSystem.makeDirectory(join(root, 'binance/klines/raw/BTC_USD/1m/responses'))
    await nodeFileSystem.makeDirectory(join(root, 'binance/klines/raw/BTCUSDT/1minute/responses'))
    writeFileSync(join(root, 'binance/readme'), '')
    expect(await collect(open().list(folder))).toEqual([{ sliceId: id, version: 0 }])
    expect(await collect(open().folders())).toEqual([folder])
  })

  test('a folder where an answer should be is damage', async () => {
    await nodeFileSystem.makeDirectory(responses(`${id}.json`))
    await expect(open().get(folder, id)).rejects.toMatchObject({ code: 'archive.corrupt' })
  })

  test('sizes are those on disk', async () => {
    await put('[1,2,3]')
    const bytes = statSync(responses(`${id}.json`)).size
    expect(await collect(open().list(folder, { sizes: true }))).toEqual([{ sliceId: id, version: 0, bytes }])
  })
})

describe('faults of the system', () => {
  const failing = (name: 'create' | 'rename' | 'makeDirectory', code: string): FileSystem => ({
    ...nodeFileSystem,
    [name]: async () => {
      throw Object.assign(new Error(`${code}: made up`), { code })
    },
  })
  const cases = [
    ['create', 'ENOSPC', 'archive.disk-full'],
    ['create', 'EDQUOT', 'archive.disk-full'],
    ['rename', 'ENOSPC', 'archive.disk-full'],
    ['makeDirectory', 'EACCES', 'archive.not-writable'],
    ['makeDirectory', 'EROFS', 'archive.not-writable'],
    ['create', 'EPERM', 'archive.not-writable'],
    ['create', 'EIO', 'archive.io'],
  ] as const
  for (const [operation, fault, code] of cases) {
    test(`${fault} at ${operation} is ${code}, and nothing half-written stays`, async () => {
      const attempt = put('[1]', open({ files: failing(operation, fault) }))
      await expect(attempt).rejects.toMatchObject({ code, recovery: 'abort', path: responses(`${id}.json`) })
      const left = operation === 'makeDirectory' ? [] : readdirSync(responses())
      expect(left).toEqual([])
      await put('[1]')
      expect(await bodyOf()).toBe('[1]')
    })
  }

  test('a disk that fills up in the middle of an answer', async () => {
    const files: FileSystem = {
      ...nodeFileSystem,
      create: async (path) => ({
        ...(await nodeFileSystem.create(path)),
        sync: async () => {
          throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
        },
      }),
    }
    await expect(put('[1]', open({ files }))).rejects.toMatchObject({ code: 'archive.disk-full' })
    expect(readdirSync(responses())).toEqual([])
  })

  test('a root that is a file', async () => {
    const file = join(root, 'file')
    writeFileSync(file, '')
    const archive = open({ root: file })
    await expect(put('[1]', archive)).rejects.toMatchObject({
      code: 'archive.not-writable',
      message: expect.stringContaining('a file stands where a folder has to be'),
    })
    expect(await archive.get(folder, id)).toBeUndefined()
  })

  test('more puts at once than there are descriptors', async () => {
    let open_ = 0
    let most = 0
    const files: FileSystem = {
      ...nodeFileSystem,
      create: async (path) => {
        most = Math.max(most, ++open_)
        const file = await nodeFileSystem.create(path)
        return {
          ...file,
          close: async () => {
            open_--
            await file.close()
          },
        }
      },
    }
    const archive = open({ files })
    const puts = Array.from({ length: 500 }, (_, n) =>
      archive.put(folder, sliceOf(folder, n), response('[1]'), at),
    )
    await Promise.all(puts)
    expect(most).toBeLessThanOrEqual(32)
  })
})
