import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { compact } from '../../src/index.ts'
import { parseSeries } from '../../src/model/series.ts'
import { alterMonth } from '../support/altered-month.ts'
import { appendedLive } from '../support/live-root.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'
import { lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:15m'
const at = (text: string) => Date.parse(text)

describe('a month that somebody altered, before bars are merged with it', () => {
  let place: ProvedRoot
  let whole: string
  beforeAll(async () => {
    place = await provedRoot()
    await place.sync({ series: ETH, from: '2024-01-29' })
    whole = mkdtempSync(join(tmpdir(), 'everybar-whole-'))
    cpSync(place.root, whole, { recursive: true })
  })
  beforeEach(() => {
    rmSync(place.root, { recursive: true })
    cpSync(whole, place.root, { recursive: true })
  })
  afterAll(async () => {
    await place.close()
    rmSync(whole, { recursive: true })
  })

  const proof = async (deep = false) => {
    const { complete, faults } = await place.verify({ deep })
    return { complete, kinds: [...new Set(faults.map(({ kind }) => kind))] }
  }

  test('is made again from the archive by a sync that adds to it', async () => {
    place.venue.setNow(at('2024-03-02T13:50:30Z'))
    await place.sync({ series: BTC, from: '2024-03-01T22:00Z' })
    const undisturbed = lakeHashes(place.root)
    rmSync(place.root, { recursive: true })
    cpSync(whole, place.root, { recursive: true })
    await alterMonth(place.root, parseSeries(BTC), at('2024-03-01T23:00Z'))
    expect(await proof()).toEqual({ complete: false, kinds: ['store.file-differs', 'store.bar-differs'] })
    const report = await place.sync({ series: BTC, from: '2024-03-01T22:00Z' })
    expect(report.complete).toBe(true)
    expect(await proof(true)).toEqual({ complete: true, kinds: [] })
    expect(lakeHashes(place.root)).toEqual(undisturbed)
  })

  test('is named still after a sync that had nothing to add', async () => {
    place.venue.setNow(at('2024-03-02T13:50:30Z'))
    await place.sync({ series: BTC, from: '2024-03-01T22:00Z' })
    await alterMonth(place.root, parseSeries(BTC), at('2024-03-01T23:00Z'))
    await place.sync({ series: BTC, from: '2024-03-01T22:00Z', to: '2024-03-02T12:00Z' })
    expect((await proof()).complete).toBe(false)
  })

  test('is made again by a compaction, with what waits for it', async () => {
    const undisturbed = lakeHashes(place.root)
    await appendedLive(place.root, { [ETH]: 5 })
    await alterMonth(place.root, parseSeries(ETH), at('2024-03-01T10:00Z'))
    await compact({ root: place.root })
    expect(await proof(true)).toEqual({ complete: true, kinds: [] })
    expect(lakeHashes(place.root)).toEqual(undisturbed)
  })

  test('or that is gone, is made again by a compaction', async () => {
    const undisturbed = lakeHashes(place.root)
    await appendedLive(place.root, { [ETH]: 5 })
    rmSync(join(place.root, await alterMonth(place.root, parseSeries(ETH), at('2024-03-01T10:00Z'))))
    await compact({ root: place.root })
    expect(await proof(true)).toEqual({ complete: true, kinds: [] })
    expect(lakeHashes(place.root)).toEqual(undisturbed)
  })

  test('stays as it is where an answer of the month cannot be read: it may be the last to have its bars', async () => {
    place.venue.setNow(at('2024-03-02T13:50:30Z'))
    const path = await alterMonth(place.root, parseSeries(BTC), at('2024-03-01T23:00Z'))
    // Of the slice before the open one, which is not asked for again.
    const key = `BTCUSDT:1m:${at('2024-03-01T08:00Z')}-`
    const answers = place.files().filter((one) => /BTCUSDT\/1m\/responses\/[0-9a-f]+\.json$/.test(one))
    const answer = answers.find((one) => readFileSync(join(place.root, one), 'utf8').includes(key))!
    const bytes = readFileSync(join(place.root, answer))
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(join(place.root, answer), bytes)
    const before = readFileSync(join(place.root, path))
    const report = await place.sync({ series: BTC, from: '2024-03-01T22:00Z' })
    expect(report.series[0]!.problems.map(({ code }) => code)).toContain('store.altered')
    expect(readFileSync(join(place.root, path))).toEqual(before)
    expect((await place.repair()).proof.faultCount).toBe(0)
    expect((await place.sync({ series: BTC, from: '2024-03-01T22:00Z' })).complete).toBe(true)
    expect(await proof(true)).toEqual({ complete: true, kinds: [] })
  })
})
