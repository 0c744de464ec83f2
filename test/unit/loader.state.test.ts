import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { AuditLogger } from '../../src/loader/audit.ts'
import type { ParquetFileInfo } from '../../src/loader/files.ts'
import { IdempotencyTracker } from '../../src/loader/idempotency.ts'
import { writeAtomic } from '../../src/loader/state/atomic.ts'
import { withLock } from '../../src/loader/state/lock.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { scratch, thrown } from '../loader-lake.ts'

const settings = (rootDir: string) => ({
  rootDir,
  idempotency: { enabled: true, state_file: '.processed_files.json', checksum_algorithm: 'md5' as const },
  audit: { enabled: true, log_dir: 'audit_logs', max_log_files: 3 },
})

function fileIn(root: string, symbol: string, text = 'bars'): ParquetFileInfo {
  const path = join(root, `${symbol}.parquet`)
  writeFileSync(path, text)
  const hash = 'a'.repeat(16)
  return {
    ...{ path, symbol, timeframe: undefined, timeframeToken: '1min', horizon: 0 },
    ...{ year: 2024, month: 3, hash, extension: 'parquet' },
  }
}

describe('idempotency tracker', () => {
  test('a file is processed once marked, for its consumer only, and survives the process', async () => {
    const root = scratch()
    const tracker = new IdempotencyTracker(settings(root), { nowMs: () => Date.UTC(2024, 3, 1) })
    const file = fileIn(root, 'A')
    expect(await tracker.isProcessed('trainer', file)).toBe(false)
    await tracker.markProcessed('trainer', file, await tracker.checksum(file))
    const again = new IdempotencyTracker(settings(root))
    expect(await again.isProcessed('trainer', file)).toBe(true)
    expect(await again.isProcessed('other', file)).toBe(false)
    expect(await again.processed('trainer')).toEqual({
      [`A_1min_h0_2024_03_${'a'.repeat(16)}`]: {
        file_path: file.path,
        processed_at: '2024-04-01T00:00:00Z',
        checksum: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
        status: 'completed',
      },
    })
  })

  test('the checksum is the MD5 of the bytes', async () => {
    const root = scratch()
    const tracker = new IdempotencyTracker(settings(root))
    expect(await tracker.checksum(fileIn(root, 'A', 'hello'))).toBe('5d41402abc4b2a76b9719d911017c592')
  })

  test('a changed file is to be processed again, a changed one meanwhile too', async () => {
    const root = scratch()
    const tracker = new IdempotencyTracker(settings(root))
    const file = fileIn(root, 'A')
    const before = await tracker.checksum(file)
    fileIn(root, 'A', 'more bars')
    await tracker.markProcessed('trainer', file, before)
    expect(await tracker.isProcessed('trainer', file)).toBe(false)
    await tracker.markProcessed('trainer', file, await tracker.checksum(file))
    expect(await tracker.isProcessed('trainer', file)).toBe(true)
  })

  test.each([
    ['truncated JSON', '{"version": 1, "proc'],
    ['another shape', '{"processed_files": []}'],
    ['nothing', ''],
  ])('a damaged state file is set aside and rebuilt: %s', async (_name, text) => {
    const root = scratch()
    const events: EverybarEvent[] = []
    const path = join(root, '.processed_files.json')
    writeFileSync(path, text)
    const tracker = new IdempotencyTracker(settings(root), { onEvent: (event) => events.push(event) })
    const file = fileIn(root, 'A')
    expect(await tracker.isProcessed('trainer', file)).toBe(false)
    await tracker.markProcessed('trainer', file, await tracker.checksum(file))
    expect(await tracker.isProcessed('trainer', file)).toBe(true)
    const aside = readdirSync(root).filter((name) => name.includes('.damaged-'))
    expect(aside.map((name) => readFileSync(join(root, name), 'utf8'))).toEqual([text])
    expect(events.map((event) => event.event)).toContain('loader_state_damaged')
  })

  test('a state file that another holds is an error to retry, and changes nothing', async () => {
    const root = scratch()
    const tracker = new IdempotencyTracker(settings(root), { lockWaitMs: 30 })
    const file = fileIn(root, 'A')
    await withLock(join(root, '.processed_files.json.lock'), 0, async () => {
      const fault = await thrown(() => tracker.markProcessed('trainer', file, 'x'))
      expect(fault).toMatchObject({ code: 'loader.state-locked', recovery: 'retry' })
    })
    expect(existsSync(join(root, '.processed_files.json'))).toBe(false)
    await tracker.markProcessed('trainer', file, 'x')
    expect(Object.keys(await tracker.processed('trainer'))).toHaveLength(1)
  })

  test('processes that mark at once lose nothing', async () => {
    const root = scratch()
    for (const symbol of 'abcdefghijklmnopqrst') fileIn(root, symbol)
    const script = `
      const { IdempotencyTracker } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/loader/idempotency.ts'))})
      const [root, symbols] = process.argv.slice(1)
      const tracker = new IdempotencyTracker({ rootDir: root, idempotency: { enabled: true, state_file: '.processed_files.json', checksum_algorithm: 'md5' } })
      for (const symbol of symbols) await tracker.markProcessed('c', { path: root + '/' + symbol + '.parquet', symbol, timeframeToken: '1min', horizon: 0, year: 2024, month: 3, hash: 'a' }, 'x')`
    const run = (symbols: string) =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, root, symbols])
    await Promise.all([run('abcdefghij'), run('klmnopqrst')])
    const state = await new IdempotencyTracker(settings(root)).processed('c')
    expect(Object.keys(state)).toHaveLength(20)
  })

  test('a file that has gone is an error to retry', async () => {
    const root = scratch()
    const file = { ...fileIn(root, 'A'), path: join(root, 'gone.parquet') }
    const fault = await thrown(() => new IdempotencyTracker(settings(root)).checksum(file))
    expect(fault).toMatchObject({ code: 'loader.file-gone', recovery: 'retry' })
  })
})

describe('audit log', () => {
  const at = Date.UTC(2024, 2, 5, 14, 30, 7)
  const logger = (root: string) => new AuditLogger(settings(root), () => at)
  const read = (root: string, id: string) =>
    JSON.parse(readFileSync(join(root, 'audit_logs', `${id}.json`), 'utf8')) as Record<string, unknown>

  test('a session is named by symbol and second, and is on disk from its start', async () => {
    const root = scratch()
    const session = await logger(root).start('training', 'BTC/USD', { year: 2024 })
    expect(session.id).toBe('BTC-2fUSD_20240305_143007')
    expect(read(root, session.id)).toMatchObject({
      ...{ session_id: session.id, symbol: 'BTC/USD', kind: 'training', status: 'running', end_time: null },
      request: { year: 2024 },
    })
    await session.count({ files_discovered: 3 })
    await session.count({ files_processed: 1, rows: 10 })
    await session.count({ files_processed: 1, files_skipped: 1 })
    expect(read(root, session.id)).toMatchObject({
      ...{ files_discovered: 3, files_processed: 2, files_skipped: 1, files_failed: 0, rows: 10 },
    })
    await session.end('completed')
    expect(read(root, session.id)).toMatchObject({ status: 'completed', end_time: '2024-03-05T14:30:07Z' })
  })

  test('two within a second do not share a file', async () => {
    const root = scratch()
    const audit = logger(root)
    const ids = await Promise.all(['A', 'A', 'B'].map(async (s) => (await audit.start('training', s, {})).id))
    expect(new Set(ids)).toEqual(new Set(['A_20240305_143007', 'A_20240305_143007-2', 'B_20240305_143007']))
  })

  test('a failed session stays failed, and says why', async () => {
    const root = scratch()
    const session = await logger(root).start('training', 'A', {})
    await session.end('failed', new Error('the disk is full'))
    await session.end('completed')
    expect(read(root, session.id)).toMatchObject({
      status: 'failed',
      error: { code: 'Error', message: 'the disk is full' },
    })
  })

  /** A process that runs, and one that does not any more. */
  const alive = { host: hostname(), pid: process.ppid }
  const gone = { host: hostname(), pid: spawnSync('true').pid }
  const write = (root: string, day: string, record: object | '') => {
    mkdirSync(join(root, 'audit_logs'), { recursive: true })
    writeFileSync(
      join(root, 'audit_logs', `A_2024${day}_000000.json`),
      record && JSON.stringify(record, null, 2),
    )
  }
  const days = (root: string) =>
    readdirSync(join(root, 'audit_logs'))
      .map((name) => name.slice(6, 10))
      .sort()

  test('the newest files are kept, and those of sessions under way', async () => {
    const root = scratch()
    write(root, '0101', { status: 'running', ...alive })
    write(root, '0102', { status: 'completed', ...alive })
    write(root, '0103', { status: 'failed', ...alive })
    write(root, '0104', { status: 'completed', ...alive })
    await logger(root).start('training', 'A', {})
    expect(days(root)).toEqual(['0101', '0104', '0305'])
  })

  test.each([
    ['whose process is gone', { status: 'running', ...gone }, false],
    ['that this process left without an end', { status: 'running', ...alive, pid: process.pid }, false],
    ['on another machine, a week ago', { status: 'running', host: 'elsewhere', pid: 1 }, true],
    ['that says nothing of its process', { status: 'running' }, true],
    ['that is being made', '', true],
  ])('a session %s', async (_name, record, kept) => {
    const root = scratch()
    write(root, '0227', record as object | '')
    for (const day of ['0228', '0229', '0301']) write(root, day, { status: 'completed' })
    await logger(root).start('training', 'A', {})
    expect(days(root)).toEqual(kept ? ['0227', '0301', '0305'] : ['0229', '0301', '0305'])
  })

  test('a session nobody can ask after is over a month after its start', async () => {
    const root = scratch()
    for (const day of ['0101', '0102', '0103'])
      write(root, day, { status: 'running', host: 'elsewhere', pid: 1 })
    await logger(root).start('training', 'A', {})
    expect(days(root)).toEqual(['0102', '0103', '0305'])
  })

  test('a session under way in this process is kept, however many come after it', async () => {
    const root = scratch()
    const audit = logger(root)
    const first = await audit.start('training', 'A', {})
    for (let i = 0; i < 5; i++) await (await audit.start('training', 'A', {})).end('completed')
    expect(readdirSync(join(root, 'audit_logs'))).toHaveLength(3)
    expect(read(root, first.id)).toMatchObject({ status: 'running', host: hostname(), pid: process.pid })
  })

  test('a log that another process removes meanwhile is no fault', async () => {
    const root = scratch()
    for (let day = 10; day < 30; day++) write(root, `01${day}`, { status: 'completed' })
    const starts = Array.from({ length: 8 }, async () => (await logger(root).start('training', 'A', {})).id)
    expect(new Set(await Promise.all(starts)).size).toBe(8)
  })

  test('a log folder that cannot be written is an error that says so', async () => {
    const root = scratch()
    writeFileSync(join(root, 'audit_logs'), 'a file')
    const fault = await thrown(() => logger(root).start('training', 'A', {}))
    expect(fault.code).toBe('loader.not-writable')
    expect(fault.message).toContain('audit_logs')
  })
})

test('an atomic write that fails leaves what was there', async () => {
  const root = scratch()
  const path = join(root, 'folder')
  mkdirSync(join(path, 'inside'), { recursive: true })
  const fault = await thrown(() => writeAtomic(path, 'text'))
  expect(fault.code).toBe('loader.not-writable')
  expect(readdirSync(root)).toEqual(['folder'])
})
