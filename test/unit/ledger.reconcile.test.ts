import { beforeEach, describe, expect, test } from 'vitest'
import type { Archive } from '../../src/archive/archive.ts'
import { memoryArchive } from '../../src/archive/memory/memory-archive.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { type ArchiveListing, markReconciled, reconcile } from '../../src/ledger/reconcile.ts'
import { response, sliceOf } from '../../src/testing/archive-samples.ts'
import { collect } from '../../src/testing/collect.ts'
import { btc, failed, sliceRecord } from '../../src/testing/ledger-samples.ts'

const folder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }

let archive: Archive
let ledger: Ledger
let listed: number
beforeEach(() => {
  archive = memoryArchive()
  ledger = memoryLedger()
  listed = 0
})
const listing = (): ArchiveListing => ({
  stamp: () => archive.stamp(folder),
  list: () => {
    listed++
    return archive.list(folder)
  },
})
const put = (n: number, body = '[1]') => archive.put(folder, sliceOf(folder, n), response(body), 0)
const idOf = (n: number) => sliceOf(folder, n).id
const record = (n: number, fields = {}) =>
  ledger.record(btc, [sliceRecord(n, { sliceId: idOf(n), ...fields })])
const known = async () => (await collect(ledger.slices(btc))).map(({ sliceId }) => sliceId)

describe('reconcile', () => {
  test('level: nothing to do', async () => {
    await put(0)
    await record(0)
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 0, unrecorded: [] })
    expect(await known()).toEqual([idOf(0)])
  })

  test('answers without a record are named, older versions are not', async () => {
    for (const body of ['[1]', '[2]']) await put(0, body)
    await put(1)
    await record(1)
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 0, unrecorded: [idOf(0)] })
  })

  test('recorded slices that were answered more than once are named', async () => {
    for (const body of ['[1]', '[2]']) await put(0, body)
    await put(1)
    for (const n of [0, 1]) await record(n)
    expect((await reconcile(ledger, btc, listing())).answeredAgain).toEqual([idOf(0)])
    await markReconciled(ledger, btc, listing())
    expect((await reconcile(ledger, btc, listing())).answeredAgain).toEqual([])
  })

  test('records whose answer is gone are forgotten; those that never had one stay', async () => {
    await put(0)
    await record(0)
    await record(1)
    await record(2, failed)
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 1, unrecorded: [] })
    expect(await known()).toEqual([idOf(0), idOf(2)])
  })

  test('a folder that was removed resets the series', async () => {
    await put(0)
    await record(0)
    await markReconciled(ledger, btc, listing())
    archive = memoryArchive()
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 1, unrecorded: [] })
    expect(await known()).toEqual([])
  })

  test('a failed slice with an older answer is not taken for new', async () => {
    await put(0)
    await record(0, failed)
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 0, unrecorded: [] })
  })

  test('records that do not say which answer they speak of are read from the archive again, or forgotten', async () => {
    await put(0)
    await record(0, { sha256: null })
    await record(1, { sha256: null, status: 'empty' })
    await record(2, failed)
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 1, unrecorded: [idOf(0)] })
    expect(await known()).toEqual([idOf(0), idOf(2)])
  })

  test('an archive nobody touched since is not listed again', async () => {
    await put(0)
    await record(0)
    await reconcile(ledger, btc, listing())
    expect(listed).toBe(1)
    await markReconciled(ledger, btc, listing())
    await reconcile(ledger, btc, listing())
    expect(listed).toBe(1)
    await put(1)
    expect((await reconcile(ledger, btc, listing())).unrecorded).toEqual([idOf(1)])
    expect(listed).toBe(2)
  })

  test('a series without a folder is looked at once', async () => {
    await markReconciled(ledger, btc, listing())
    expect(await reconcile(ledger, btc, listing())).toMatchObject({ forgotten: 0, unrecorded: [] })
    expect(listed).toBe(0)
  })
})
