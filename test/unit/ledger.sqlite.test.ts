import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { COVERED, NOTABLE, SLICES, STORED, UNSTORED } from '../../src/ledger/sqlite/sql.ts'
import { openSqliteLedger } from '../../src/ledger/sqlite/sqlite-ledger.ts'
import { collect } from '../../src/testing/collect.ts'
import { btc, eth, facet, idOf, sliceRecord, span } from '../../src/testing/ledger-samples.ts'

let folder: string
let path: string
const opened: Ledger[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everybar-sqlite-'))
  path = join(folder, '.everybar', 'ledger.db')
})
afterEach(async () => {
  for (const ledger of opened.splice(0)) await ledger[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

function open(readOnly = false): Ledger {
  const ledger = openSqliteLedger({ path, readOnly })
  opened.push(ledger)
  return ledger
}

/** A ledger of `slices` records, closed. */
async function filled(slices: number): Promise<void> {
  const ledger = open()
  await ledger.record(
    btc,
    Array.from({ length: slices }, (_, n) => sliceRecord(n)),
  )
  await ledger[Symbol.asyncDispose]()
}

describe('what is no ledger of ours is refused with a way out', () => {
  const tamper = (statement: string) => {
    const db = new DatabaseSync(path)
    db.exec(statement)
    db.close()
  }
  const cases: readonly (readonly [string, string, () => void])[] = [
    ['a newer version', 'ledger.newer-version', () => tamper('PRAGMA user_version = 99')],
    ['another program’s database', 'ledger.corrupt', () => tamper('PRAGMA application_id = 7')],
    ['a file that is no database', 'ledger.corrupt', () => writeFileSync(path, 'x'.repeat(8192))],
  ]
  for (const [what, code, damage] of cases) {
    for (const readOnly of [false, true]) {
      test(`${what}, ${readOnly ? 'reading' : 'writing'}`, async () => {
        await filled(3)
        damage()
        const before = readFileSync(path)
        expect(() => open(readOnly)).toThrow(expect.objectContaining({ code, recovery: 'abort', path }))
        expect(readFileSync(path)).toEqual(before)
      })
    }
  }

  test('pages overwritten behind its back', async () => {
    await filled(2_000)
    const bytes = readFileSync(path)
    bytes.fill(0xff, 8192)
    writeFileSync(path, bytes)
    await expect(collect(open().slices(btc))).rejects.toMatchObject({
      code: 'ledger.corrupt',
      hint: expect.stringContaining('everybar rebuild --ledger'),
    })
  })

  test('a folder where the file should be', () => {
    path = folder
    expect(() => open()).toThrow(expect.objectContaining({ code: 'ledger.not-writable' }))
  })

  test('a file where the folder should be', () => {
    writeFileSync(join(folder, '.everybar'), '')
    expect(() => open()).toThrow(expect.objectContaining({ code: 'ledger.not-writable' }))
  })
})

describe('reading beside a writer', () => {
  test('sees every write that had resolved, and may not write', async () => {
    const writer = open()
    await writer.record(btc, [sliceRecord(0)])
    const reader = open(true)
    expect((await collect(reader.slices(btc))).length).toBe(1)
    await writer.record(btc, [sliceRecord(1)])
    expect((await collect(reader.slices(btc))).length).toBe(2)
    await expect(reader.record(btc, [sliceRecord(2)])).rejects.toMatchObject({ code: 'ledger.not-writable' })
    await expect(reader.want(btc, span(0, 1))).rejects.toMatchObject({ code: 'ledger.not-writable' })
  })

  test('where there is no ledger yet it is empty, and none is made', async () => {
    const reader = open(true)
    expect(await reader.series()).toEqual([])
    await expect(reader.record(btc, [sliceRecord(0)])).rejects.toMatchObject({ code: 'ledger.not-writable' })
    expect(existsSync(path)).toBe(false)
  })

  test('a file a writer has only just made is empty', async () => {
    await filled(1)
    writeFileSync(path, '')
    expect(await open(true).series()).toEqual([])
  })

  test.each([0o444, 0o644])('in a folder that cannot be written to, file mode %o', async (mode) => {
    await filled(3)
    const isRoot = process.geteuid?.() === 0
    chmodSync(path, mode)
    chmodSync(join(folder, '.everybar'), 0o555)
    try {
      if (isRoot) {
        // Whom no mode holds back: read as nobody, who has to be let in to the folder first.
        chmodSync(folder, 0o755)
        const above = dirname(folder)
        if ((statSync(above).mode & 0o001) === 0) chmodSync(above, 0o711)
        process.seteuid!(65_534)
      }
      expect((await collect(open(true).slices(btc))).length).toBe(3)
    } finally {
      if (isRoot) process.seteuid!(0)
      chmodSync(join(folder, '.everybar'), 0o755)
    }
  })
})

describe('cost', () => {
  const plans = { SLICES, NOTABLE, UNSTORED, STORED, COVERED }
  for (const [name, query] of Object.entries(plans)) {
    test(`${name} seeks in one index, in order, and sorts nothing`, async () => {
      await filled(1)
      const db = new DatabaseSync(path)
      const rows = db
        .prepare(`EXPLAIN QUERY PLAN ${query}`)
        .all(...Array<number>(query.split('?').length - 1).fill(1))
      db.close()
      const steps = rows.map(({ detail }) => String(detail))
      const bounds = name === 'COVERED' ? 'start_ms>? AND start_ms<?' : '(start_ms,end_ms)>(?,?)'
      expect(steps[0]).toMatch(/^SEARCH s USING (COVERING )?INDEX slice_(by_time|notable) \(series=\? AND /)
      expect(steps[0]).toContain(bounds)
      expect(steps.filter((step) => /SCAN|TEMP B-TREE/.test(step))).toEqual([])
      if (name === 'COVERED') expect(steps[0]).toContain('COVERING')
      if (name === 'UNSTORED') expect(steps.join()).toContain('PRIMARY KEY (store=? AND slice=?)')
    })
  }

  test('callers that come together share one transaction', async () => {
    const ledger = open()
    await ledger.record(btc, [sliceRecord(0)])
    const walBytes = () => readFileSync(`${path}-wal`).length
    const before = walBytes()
    for (let n = 1; n <= 20; n++) await ledger.record(btc, [sliceRecord(n)])
    const alone = walBytes() - before
    await Promise.all(Array.from({ length: 20 }, (_, n) => ledger.record(btc, [sliceRecord(100 + n)])))
    const together = walBytes() - before - alone
    expect(together).toBeLessThan(alone / 5)
  })
})

test('a kill at any moment loses nothing that had resolved, and leaves no half of a batch', async () => {
  const file = (name: string) => JSON.stringify(fileURLToPath(new URL(`../../src/${name}`, import.meta.url)))
  const program = `
    import { openSqliteLedger } from ${file('ledger/sqlite/sqlite-ledger.ts')}
    import { btc, facet, sliceRecord } from ${file('testing/ledger-samples.ts')}
    const ledger = openSqliteLedger({ path: ${JSON.stringify(path)} })
    const start = Number(process.argv[1])
    for (let n = start; ; n += 5) {
      const batch = [0, 1, 2, 3, 4].map((i) => n + i)
      await ledger.record(btc, batch.map((i) => sliceRecord(i)))
      await ledger.recordStored(btc, 'lake', batch.map((i) => facet(i)))
      process.stdout.write(n + '\\n')
    }`
  let recorded = 0
  for (let round = 0; round < 5; round++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', String(recorded)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let last = -1
    for await (const line of createInterface({ input: child.stdout })) {
      last = Number(line)
      if (last >= recorded + 20 * (round + 1)) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    expect(last).toBeGreaterThan(recorded)
    const ledger = open()
    const slices = await collect(ledger.slices(btc))
    expect(slices.length).toBeGreaterThanOrEqual(last + 5)
    expect(slices.length % 5).toBe(0)
    const stored = await collect(ledger.stored(btc, 'lake'))
    expect(stored.length).toBeGreaterThanOrEqual(last + 5)
    expect(stored.length % 5).toBe(0)
    await ledger[Symbol.asyncDispose]()
    recorded = stored.length
  }
})

test('the state of other series costs nothing to read', async () => {
  const ledger = open()
  await ledger.record(
    eth,
    Array.from({ length: 3_000 }, (_, n) => sliceRecord(n)),
  )
  await ledger.record(btc, [sliceRecord(7)])
  await ledger.recordStored(btc, 'lake', [facet(7)])
  expect(await ledger.covered(btc, span(0, 5_000))).toEqual([span(7, 8)])
  expect((await collect(ledger.stored(btc, 'lake'))).map(({ sliceId }) => sliceId)).toEqual([idOf(7)])
})
