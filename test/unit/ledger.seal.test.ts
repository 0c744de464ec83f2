import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSqliteLedger } from '../../src/ledger/sqlite/sqlite-ledger.ts'
import { btc, facet, sliceRecord } from '../../src/testing/ledger-samples.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everybar-seal-'))
  path = join(folder, 'ledger.db')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function session(
  work: (ledger: ReturnType<typeof openSqliteLedger>) => Promise<unknown> = async () => {},
) {
  const ledger = openSqliteLedger({ path })
  await work(ledger)
  await ledger[Symbol.asyncDispose]()
}

async function check() {
  const ledger = openSqliteLedger({ path, readOnly: true })
  try {
    return await ledger.check()
  } finally {
    await ledger[Symbol.asyncDispose]()
  }
}

const fill = () =>
  session(async (ledger) => {
    await ledger.record(btc, [sliceRecord(0), sliceRecord(1)])
    await ledger.recordStored(btc, 'lake', [facet(0)])
  })

const sealed = { sealed: true, faults: [] }
const changed = {
  sealed: false,

  faults: [expect.objectContaining({ path: expect.any(String) })],
}

function tamper(sql: string): void {
  const db = new DatabaseSync(path)
  db.exec(sql)
  db.close()
}

describe('the seal of a ledger', () => {
  test('holds from one clean close to the next, and through sessions that change nothing', async () => {
    await fill()
    expect(await check()).toEqual(sealed)
    const before = readFileSync(path)
    await session()
    await session((ledger) => ledger.runs())
    expect(readFileSync(path).equals(before)).toBe(true)
    expect(await check()).toEqual(sealed)
    await session((ledger) => ledger.record(btc, [sliceRecord(2)]))
    expect(await check()).toEqual(sealed)
  })

  test('is off while somebody writes: nothing is claimed, and no fault', async () => {
    await fill()
    await session(async (ledger) => {
      expect(await check()).toEqual(sealed)
      await ledger.record(btc, [sliceRecord(2)])
      expect(await check()).toEqual({ sealed: false, faults: [] })
    })
  })

  test('any byte that changes breaks it', async () => {
    await fill()
    const whole = readFileSync(path)
    for (let at = 0; at < whole.length; at += 97) {
      const flipped = Buffer.from(whole)
      flipped[at]! ^= 1 << (at % 8)
      writeFileSync(path, flipped)
      const outcome = await check().catch((error: { code: string }) => error.code)
      if (typeof outcome === 'string') expect(outcome).toMatch(/^ledger\./)
      else
        expect(outcome).toMatchObject({
          sealed: false,
          faults: expect.arrayContaining([expect.objectContaining({ path })]),
        })
    }
    writeFileSync(path, whole)
    expect(await check()).toEqual(sealed)
  })

  test('changes by SQL break it, and later runs do not heal it', async () => {
    await fill()
    tamper("UPDATE slice SET findings = '[]' WHERE id = 1")
    expect(await check()).toEqual(changed)
    await session((ledger) => ledger.record(btc, [sliceRecord(3)]))
    expect(await check()).toEqual(changed)
    await session()
    expect(await check()).toEqual(changed)
  })

  test('a ledger that is gone while its seal stands is no empty ledger', async () => {
    await fill()
    rmSync(path)
    expect((await check()).faults).toMatchObject([{ path }])
  })

  test('a seal that was changed or lost', async () => {
    await fill()
    writeFileSync(`${path}.seal`, 'f'.repeat(64))
    expect(await check()).toEqual(changed)
    rmSync(`${path}.seal`)
    expect(await check()).toEqual({ sealed: false, faults: [] })
    await session()
    expect(await check()).toEqual(sealed)
  })
})
