import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeFileSystem } from '../../src/app/filesystem.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { openManifestLedger } from '../../src/ledger/manifest/manifest-ledger.ts'
import { exportManifest } from '../../src/ledger/manifest-export.ts'
import type { ManifestPlace } from '../../src/ledger/manifest-format.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import type { FileSystem } from '../../src/model/filesystem.ts'
import { collect } from '../../src/testing/collect.ts'
import { at, btc, failed, idOf, sliceRecord, span } from '../../src/testing/ledger-samples.ts'

let root: string
let path: string
let place: ManifestPlace
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'everybar-manifest-'))
  path = join(root, 'binance/klines/raw/BTCUSDT/1m/manifest.json')
  place = { path, endpoint: 'klines', symbol: 'BTCUSDT', interval: '1m', limit: 1000 }
})
afterEach(() => rmSync(root, { recursive: true }))

const open = (files: FileSystem = nodeFileSystem) => openManifestLedger({ root, files, placeOf: () => place })
const manifest = () => JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
const write = (file: string, text: string) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

/** The schema as it was asked for: one slice that is fine, one that failed. */
const wanted = {
  version: 1,
  endpoint: 'klines',
  symbol: 'BTCUSDT',
  interval: '1m',
  limit: 1000,
  summary: {
    total_slices: 2,
    ok_slices: 1,
    failed_slices: 1,
    last_evaluated_at: '2024-01-01T00:00:00.251Z',
  },
  slices: {
    [sliceRecord(0).key]: {
      slice_id: idOf(0),
      relative_path: `responses/${idOf(0)}.json`,
      status: 'ok',
      http_status: 200,
      n_items: 1000,
      first_ts: at,
      last_ts: at + 59_940_000,
      requested_at: '2024-01-01T00:00:00.001Z',
      completed_at: '2024-01-01T00:00:00.251Z',
      error: null,
    },
    [sliceRecord(1).key]: {
      slice_id: idOf(1),
      relative_path: `responses/${idOf(1)}.json`,
      status: 'failed',
      http_status: 500,
      n_items: 0,
      first_ts: null,
      last_ts: null,
      requested_at: '2024-01-01T00:00:00.001Z',
      completed_at: '2024-01-01T00:00:00.251Z',
      error: 'HTTP 500',
    },
  },
}
const records = [sliceRecord(0), sliceRecord(1, { ...failed, firstMs: null, lastMs: null })]

describe('export', () => {
  const exported = (ledger: Ledger) => exportManifest({ ledger, series: btc, place, files: nodeFileSystem })
  const state = () => [statSync(path).mtimeMs, statSync(path).ino, readFileSync(path, 'utf8')].join()

  test('has the schema, exactly, and nothing else beside it', async () => {
    const ledger = memoryLedger()
    await ledger.record(btc, records)
    expect(await exported(ledger)).toBe(true)
    expect(manifest()).toEqual(wanted)
    expect(readdirSync(dirname(path))).toEqual(['manifest.json'])
  })

  test('is not written again while it would say the same', async () => {
    const ledger = memoryLedger()
    await ledger.record(btc, records)
    await exported(ledger)
    const before = state()
    expect(await exported(ledger)).toBe(false)
    await ledger.record(btc, records)
    expect(await exported(ledger)).toBe(false)
    await ledger.recordStored(btc, 'lake', [])
    const rebuilt = memoryLedger()
    await rebuilt.record(btc, records)
    expect(await exported(rebuilt)).toBe(false)
    expect(state()).toBe(before)
    await ledger.record(btc, [sliceRecord(1)])
    expect(await exported(ledger)).toBe(true)
    expect(manifest()).toMatchObject({ summary: { ok_slices: 2, failed_slices: 0 } })
  })

  test('comes back when somebody removed it, and replaces one that is cut', async () => {
    const ledger = memoryLedger()
    await ledger.record(btc, records)
    await exported(ledger)
    rmSync(path)
    expect(await exported(ledger)).toBe(true)
    expect(manifest()).toEqual(wanted)
    write(path, '{"version"')
    await ledger.record(btc, records)
    expect(await exported(ledger)).toBe(true)
    expect(manifest()).toEqual(wanted)
  })

  test('a series nothing is known of has no manifest', async () => {
    expect(await exported(memoryLedger())).toBe(false)
    expect(readdirSync(root)).toEqual([])
  })

  test('a large series is one document, written in pieces', async () => {
    const ledger = memoryLedger()
    await ledger.record(
      btc,
      Array.from({ length: 9_000 }, (_, n) => sliceRecord(n)),
    )
    await exported(ledger)
    expect(Object.keys(manifest().slices as object).length).toBe(9_000)
  })

  test('a file left half-written does not stand in the way', async () => {
    const ledger = memoryLedger()
    await ledger.record(btc, records)
    write(join(dirname(path), '.tmp-manifest'), 'half')
    expect(await exported(ledger)).toBe(true)
    expect(readdirSync(dirname(path))).toEqual(['manifest.json'])
  })
})

describe('the manifest as the ledger', () => {
  test('keeps the schema and adds to it under `everybar` only', async () => {
    await open().record(btc, records)
    const { everybar, slices, ...head } = manifest()
    expect(everybar).toMatchObject({ series_id: btc.seriesId, endpoint: btc.endpoint })
    const plain = Object.entries(slices as Record<string, { everybar: unknown }>).map(
      ([key, { everybar: _own, ...entry }]) => [key, entry],
    )
    expect({ ...head, slices: Object.fromEntries(plain) }).toEqual(wanted)
  })

  test('reads a manifest of the plain schema, made elsewhere', async () => {
    write(path, JSON.stringify(wanted))
    const found = await collect(open().slices(btc))
    expect(found).toEqual(records.map((record) => ({ ...record, sha256: null, venueTimeMs: null })))
    expect(await open().covered(btc, span(0, 2))).toEqual([span(0, 1)])
  })

  test('sees what another process has written, and a folder that was removed', async () => {
    const [one, other] = [open(), open()]
    await one.record(btc, [sliceRecord(0)])
    expect(await other.get(btc, idOf(0))).toBeDefined()
    await one.record(btc, [sliceRecord(1)])
    expect(await other.get(btc, idOf(1))).toBeDefined()
    rmSync(join(root, 'binance'), { recursive: true })
    expect(await one.get(btc, idOf(0))).toBeUndefined()
    await one.record(btc, [sliceRecord(2)])
    expect((await collect(other.slices(btc))).map(({ sliceId }) => sliceId)).toEqual([idOf(2)])
  })

  test('changes that come together share one write', async () => {
    let writes = 0
    const counting: FileSystem = {
      ...nodeFileSystem,
      rename: async (from, to) => {
        writes++
        await nodeFileSystem.rename(from, to)
      },
    }
    const ledger = open(counting)
    await Promise.all(Array.from({ length: 50 }, (_, n) => ledger.record(btc, [sliceRecord(n)])))
    expect(writes).toBeLessThanOrEqual(3)
    expect((await collect(open().slices(btc))).length).toBe(50)
  })

  test('a write that failed is not there, and those that follow are', async () => {
    let full = true
    const files: FileSystem = {
      ...nodeFileSystem,
      create: async (file) => {
        if (full) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
        return nodeFileSystem.create(file)
      },
    }
    const ledger = open(files)
    await expect(ledger.record(btc, [sliceRecord(0)])).rejects.toMatchObject({ code: 'ledger.disk-full' })
    expect(await ledger.get(btc, idOf(0))).toBeUndefined()
    full = false
    await ledger.record(btc, [sliceRecord(1)])
    expect((await collect(ledger.slices(btc))).map(({ sliceId }) => sliceId)).toEqual([idOf(1)])
  })

  const broken: readonly (readonly [string, string, string])[] = [
    ['a newer version', JSON.stringify({ ...wanted, version: 2 }), 'ledger.newer-version'],
    ['text that is no JSON', '{"version": 1, "sli', 'ledger.corrupt'],
    ['an empty file', '', 'ledger.corrupt'],
    ['JSON that is no manifest', '[]', 'ledger.corrupt'],
    ['no slices', '{"version":1}', 'ledger.corrupt'],
    ['a key that is none', JSON.stringify({ ...wanted, slices: { x: {} } }), 'ledger.corrupt'],
    ['a status there is not', JSON.stringify(wanted).replace('"failed"', '"fine"'), 'ledger.corrupt'],
    [
      'a time that is none',
      JSON.stringify(wanted).replace('2024-01-01T00:00:00.001Z', 'noon'),
      'ledger.corrupt',
    ],
    [
      'a count that is none',
      JSON.stringify(wanted).replace('"n_items":1000', '"n_items":"x"'),
      'ledger.corrupt',
    ],
  ]
  for (const [what, text, code] of broken) {
    test(`${what} is ${code}, and stays as it is`, async () => {
      write(path, text)
      await expect(open().get(btc, idOf(0))).rejects.toMatchObject({ code, recovery: 'abort', path })
      await expect(open().record(btc, records)).rejects.toMatchObject({ code })
      expect(readFileSync(path, 'utf8')).toBe(text)
    })
  }

  test('runs of a newer version', async () => {
    write(join(root, '.everybar/runs.json'), '{"version":2,"runs":[]}')
    await expect(open().runs()).rejects.toMatchObject({ code: 'ledger.newer-version' })
  })
})
