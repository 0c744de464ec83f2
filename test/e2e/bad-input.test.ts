import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli, runHere } from '../run-cli.ts'
import { lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
/** Five slices; the first klines request of a new root is the one for the first bar. */
const RANGE = ['--from', '2024-01-01', '--to', '2024-01-04']

let venue: Simulator
let honest: Record<string, string>
beforeAll(async () => {
  venue = await startSimulator({ seed: 7, nowMs: Date.UTC(2024, 2, 1), weightLimit: 6_000, windowMs: 1_000 })
  honest = await inFolder(async (root) => {
    await run(root, 'sync', BTC, ...RANGE)
    return lakeHashes(root)
  })
})
afterAll(() => venue.close())
afterEach(() => venue.setFaults(''))

const env = () => ({
  EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
  EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
  EVERYBAR__FETCH__ATTEMPTS: '3',
  EVERYBAR__FETCH__BACKOFF_BASE_MS: '10',
  EVERYBAR__FETCH__BODY_TIMEOUT_MS: '1000',
  // Reached by an endless body sooner than any timeout, however busy the machine is.
  EVERYBAR__FETCH__BODY_BYTES_MAX: '1000000',
})
const run = (root: string, ...args: string[]) => runHere([...args, '--root', root, '--json'], { env: env() })

interface Verdict {
  readonly exit: number
  /** A problem the run names; with a hint, always. */
  readonly code?: string
  /** A finding it counts. */
  readonly finding?: string
  /** The class of what is missing then. */
  readonly missing?: string
}

describe('what a venue may answer: never quietly "no data", and healed by the next run', () => {
  const quarantined = { exit: 3, missing: 'quarantined' }
  test.each<[faults: string, verdict: Verdict]>([
    // For ever, from the first question on: the first bar cannot be known.
    ['html', { exit: 5, code: 'source.not-an-answer' }],
    ['null', { exit: 5, code: 'source.not-an-answer' }],
    ['truncate', { exit: 5, code: 'source.not-an-answer' }],
    ['empty', { exit: 3, code: 'sync.no-bars' }],
    ['all:html', { exit: 5, code: 'source.not-an-answer' }],
    ['all:drop', { exit: 5, code: 'fetch.unreachable' }],
    // For ever, once the venue is known.
    ['html@2..', { ...quarantined, finding: 'unreadable' }],
    ['null@2..', { ...quarantined, finding: 'unreadable' }],
    ['truncate@2..', { ...quarantined, finding: 'unreadable' }],
    ['error@2..', { ...quarantined, finding: 'unreadable' }],
    ['empty@2..', { exit: 5, code: 'sync.contradiction', missing: 'fetch_failed' }],
    ['short@2..', { exit: 5, code: 'sync.contradiction', missing: 'fetch_failed' }],
    ['500@2..', { exit: 5, code: 'source.venue-error', missing: 'fetch_failed' }],
    ['endless@2..', { exit: 3, code: 'fetch.body-too-large', missing: 'fetch_failed' }],
    ['stall@2..', { exit: 5, missing: 'fetch_failed' }],
    ['redirect@2..', { exit: 3, code: 'fetch.redirect', missing: 'fetch_failed' }],
    // Rows that cannot be used.
    ['null-price@2..', { ...quarantined, finding: 'bad-number' }],
    ['nan@3', { ...quarantined, finding: 'bad-number' }],
    ['blanks@3', { ...quarantined, finding: 'bad-number' }],
    ['negative@3', { ...quarantined, finding: 'negative' }],
    ['high-below-low@2..', { ...quarantined, finding: 'bad-ohlc' }],
    ['micros@2..', { ...quarantined, finding: 'bad-number' }],
    ['missing-columns@2..', { ...quarantined, finding: 'bad-number' }],
    // Once, and right when asked again.
    ['html@3', { exit: 0 }],
    ['truncate@3', { exit: 0 }],
    ['empty@3', { exit: 0 }],
    ['short@3', { exit: 0 }],
    ['reset@3', { exit: 0 }],
    // Rows that can be used, and a word about them.
    ['reverse@2..', { exit: 0, finding: 'out-of-order' }],
    ['shuffle@2..', { exit: 0, finding: 'out-of-order' }],
    ['duplicate@2..', { exit: 0, finding: 'duplicate' }],
    ['next-week@2..', { exit: 0, finding: 'out-of-range' }],
  ])('%s', async (faults, { exit, code, finding, missing }) => {
    await inFolder(async (root) => {
      venue.setFaults(faults)
      const sync = await run(root, 'sync', BTC, ...RANGE)
      const { ok, data } = sync.json()
      const [series] = data.series
      expect({ exit: sync.code, ok, complete: series.complete }).toEqual({
        exit,
        ok: exit === 0,
        complete: exit === 0,
      })
      if (code) {
        expect(series.problems.map((problem: { code: string }) => problem.code)).toContain(code)
        for (const { hint } of series.problems) expect(hint).toMatch(/\S{3}/)
      }
      if (finding) expect(series.findings[finding]).toBeGreaterThan(0)
      if (missing) expect(series.missing[missing]).toBeGreaterThan(0)
      if (exit !== 0) {
        const verify = await run(root, 'verify', BTC, ...RANGE)
        expect({ code: verify.code, faults: verify.json().data.faults }).toEqual({ code: 3, faults: [] })
        venue.setFaults('')
        expect((await run(root, 'sync', BTC, ...RANGE)).code).toBe(0)
      }
      expect(lakeHashes(root)).toEqual(honest)
    })
  })

  test('a row off the grid is kept as it came, with a finding', () =>
    inFolder(async (root) => {
      venue.setFaults('off-grid@3')
      const sync = await run(root, 'sync', BTC, ...RANGE)
      expect(sync.json()).toMatchObject({
        code: 0,
        data: { series: [{ findings: { 'off-grid': 1 }, missing: {} }] },
      })
      const query = 'SELECT count(*) AS n FROM bars WHERE epoch_ms(open_time) % 60000 = 14789'
      expect((await run(root, 'query', query)).json().data).toEqual([{ n: 1 }])
      expect((await run(root, 'verify')).code).toBe(0)
    }))

  test('a ban is waited for, not answered with more requests', () =>
    inFolder(async (root) => {
      venue.setFaults('418@3')
      venue.resetStats()
      const sync = await run(root, 'sync', BTC, ...RANGE)
      expect(sync.code).toBe(0)
      // What was on its way when the ban came may still meet it.
      expect(venue.stats().banned).toBeLessThanOrEqual(5)
    }))

  test('a ban longer than a person would wait: exit 5, and until when', () =>
    inFolder(async (root) => {
      venue.setFaults('418@3')
      const sync = await runHere(['sync', BTC, ...RANGE, '--root', root], {
        env: { ...env(), EVERYBAR__FETCH__BAN_WAIT_MAX_MS: '100' },
      })
      expect(sync.code).toBe(5)
      expect(sync.stderr).toMatch(/error\[fetch\.banned\].*\nhint: /)
    }))
})

describe('what a person may ask for', () => {
  test.each<[args: string, exit: number, code: string, hint: string]>([
    ['sync nosuch:spot:BTCUSDT:1m', 2, 'source.unknown-venue', ''],
    ['plan nosuch:spot:BTCUSDT:1m', 2, 'source.unknown-venue', ''],
    [
      'sync binance:nosuch:BTCUSDT:1m',
      2,
      'source.unknown-market',
      'binance has markets spot, um; through ccxt swap',
    ],
    ['plan binance:nosuch:BTCUSDT:1m', 2, 'source.unknown-market', 'binance has markets spot, um'],
    ['sync binance:nosuch:BTC*:1m', 2, 'source.unknown-market', 'binance has markets spot, um'],
    ['sync kraken:swap:BTC/USD:1h', 2, 'source.unknown-market', 'kraken has markets spot.'],
    ['sync kite:nosuch:INFY:1d', 2, 'source.unknown-market', 'kite has markets nse, bse'],
    ['sync binance:spot:BTCUSDT:7m', 2, 'source.unknown-timeframe', '1m'],
    ['sync binance:um:BTCUSDT:1s', 2, 'source.unknown-timeframe', '1m'],
    ['sync binance:spot:DOGE*:1m', 2, 'series.no-match', '*'],
  ])('%s: exit %i, and no root is made', async (line, exit, code, hint) => {
    await inFolder(async (folder) => {
      const root = join(folder, 'root')
      const range = line.includes('*') ? [] : RANGE
      venue.resetStats()
      const result = (await run(root, ...line.split(' '), ...range)).json()
      expect(result).toMatchObject({ ok: false, code: exit, error: { code } })
      expect(result.error!.hint).toContain(hint)
      expect((await run(root, 'status')).code, 'there is no root').toBe(10)
      if (code === 'source.unknown-market') expect(venue.log()).toEqual([])
    })
  })

  test.each(['sync', 'plan'])(
    '%s of a symbol the venue does not know: exit 2, and its word for it',
    async (command) => {
      await inFolder(async (root) => {
        for (const symbol of ['BTCUSD', 'btcusdt']) {
          const result = await runHere([command, `binance:spot:${symbol}:1m`, ...RANGE, '--root', root], {
            env: env(),
          })
          expect(`${symbol} ${result.code}`).toBe(`${symbol} 2`)
          expect(result.stderr).toMatch(
            /error\[source\.unknown-symbol\] .*\nhint: Write the symbol as the venue does/,
          )
          expect(result.stderr).toMatch(/code -11(21|00)/)
        }
      })
    },
  )

  test('one unknown symbol among others: theirs are complete, the exit code is about the unknown one', () =>
    inFolder(async (root) => {
      const result = await run(root, 'sync', 'binance:spot:BTCUSD:1m', BTC, ...RANGE)
      expect(result.json()).toMatchObject({
        code: 2,
        data: { series: [{ complete: false }, { complete: true, series: BTC }] },
      })
    }))

  test('bars that are not there yet: not complete, and not an error', () =>
    inFolder(async (root) => {
      const result = await run(root, 'sync', BTC, '--from', '2024-02-29', '--to', '2024-03-02')
      expect(result.json()).toMatchObject({
        code: 3,
        data: { series: [{ problems: [], missing: { not_yet_final: expect.any(Number) }, complete: false }] },
      })
    }))
})

describe('what a root may be', () => {
  test.each([
    ['a file', 'file'],
    ['below a file', 'file/root'],
  ])('%s: exit 2', (_, name) =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'file'), '')
      for (const command of [['sync', BTC, ...RANGE], ['status'], ['verify']]) {
        const { ok, code, error } = (await run(join(folder, name), ...command)).json()
        expect({ ok, code, error: error?.code }).toEqual({ ok: false, code: 2, error: 'root.not-a-folder' })
      }
    }),
  )

  test('empty: nothing is complete where nothing was asked for', () =>
    inFolder(async (root) => {
      for (const command of ['verify', 'gaps', 'repair', 'repair --dry-run']) {
        const { ok, code, error } = (await run(root, ...command.split(' '))).json()
        expect({ ok, code, error: error?.code }).toEqual({ ok: false, code: 2, error: 'series.none' })
      }
      expect((await run(root, 'status')).json()).toMatchObject({ code: 0, data: [] })
    }))

  test('not there: exit 10 for what only reads, and for what mends', () =>
    inFolder(async (folder) => {
      const reads = ['status', 'gaps', 'verify', 'runs list', 'query SELECT\u00a01']
      const mends = ['repair', 'compact', 'rebuild --ledger', 'rebuild --lake', 'reconcile --store parquet']
      for (const command of [...reads, ...mends]) {
        const { code, error } = (await run(join(folder, 'no'), ...command.split(' '))).json()
        expect({ command, code, error: error?.code }).toEqual({ command, code: 10, error: 'root.not-found' })
      }
      expect(existsSync(join(folder, 'no'))).toBe(false)
    }))

  test('in use by another process: exit 11, and who it is; reading goes on', async () => {
    const slow = await startSimulator({ seed: 7, nowMs: Date.UTC(2024, 2, 1), rttMs: 1_500 })
    try {
      await inFolder(async (root) => {
        let pid: number | undefined
        const first = runCli(['sync', BTC, ...RANGE, '--root', root], {
          env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: slow.url },
          onSpawn: (child) => {
            pid = child.pid
          },
        })
        while (slow.stats().requests === 0) await new Promise((resolve) => setTimeout(resolve, 20))
        const second = await runHere(['sync', BTC, ...RANGE, '--root', root], { env: env() })
        expect(second.code).toBe(11)
        expect(second.stderr).toMatch(
          new RegExp(`error\\[root\\.locked\\] .*process ${pid} on .* \\(sync, since 20.*\\)\nhint: `),
        )
        expect((await run(root, 'status')).code).toBe(0)
        expect((await first).code).toBe(0)
      })
    } finally {
      await slow.close()
    }
  })

  test('with a ledger from a newer version: refused, and left as it is', () =>
    inFolder(async (root) => {
      await run(root, 'sync', BTC, ...RANGE)
      const path = join(root, '.everybar/ledger.db')
      const db = new DatabaseSync(path)
      db.exec('PRAGMA user_version = 999')
      db.close()
      const before = readFileSync(path)
      for (const command of [['sync', BTC, ...RANGE], ['status'], ['verify'], ['gaps']]) {
        const { code, error } = (await run(root, ...command)).json()
        expect({ code, error: error?.code }).toEqual({ code: 1, error: 'ledger.newer-version' })
        expect(error!.hint).toContain('Upgrade')
      }
      expect(readFileSync(path).equals(before)).toBe(true)
    }))

  test.each<[name: string, exit: number, code: string, change: (text: string) => string]>([
    [
      'from a newer version',
      1,
      'ledger.newer-version',
      (text) => text.replace('"version": 1', '"version": 99'),
    ],
    ['cut short', 4, 'ledger.corrupt', (text) => text.slice(0, text.length >> 1)],
  ])('with a manifest %s as its ledger: refused, exit %i', (_, exit, code, change) =>
    inFolder(async (root) => {
      const manifests = { env: { ...env(), EVERYBAR__LEDGER: 'manifest' } }
      const sync = ['sync', BTC, ...RANGE, '--root', root, '--json']
      expect((await runHere(sync, manifests)).code).toBe(0)
      const path = join(root, 'binance/klines/raw/BTCUSDT/1m/manifest.json')
      const changed = change(readFileSync(path, 'utf8'))
      writeFileSync(path, changed)
      const result = (await runHere(sync, manifests)).json()
      expect(result).toMatchObject({ code: exit, error: { code, path } })
      expect(readFileSync(path, 'utf8')).toBe(changed)
    }),
  )
})

/** A file system of its own at `folder`, where this user may make one. */
const mount = (folder: string, options: string): boolean =>
  spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder]).status === 0
const unmount = (folder: string) => spawnSync('umount', [folder])

const mayMount = await inFolder((folder) => {
  const may = process.platform === 'linux' && mount(folder, 'size=1m')
  if (may) unmount(folder)
  return may
})

describe.skipIf(!mayMount)(
  'disks that are full or read-only (skipped where this user may not mount one)',
  () => {
    test.each(['600k', '1m', '2m'])(
      'full after %s: said by name, nothing torn, and complete once there is room',
      (size) =>
        inFolder(async (folder) => {
          const root = join(folder, 'disk')
          mkdirSync(root)
          mount(root, `size=${size}`)
          try {
            const sync = () =>
              runHere(['sync', BTC, '--from', '2024-01-01', '--to', '2024-01-20', '--root', root], {
                env: env(),
              })
            const full = await sync()
            // 1 where not even the ledger could be written.
            expect([1, 3]).toContain(full.code)
            expect(full.stderr).toMatch(
              /error\[(archive|store|ledger)\.disk-full\] .*\nhint: Free some space/,
            )
            const verify = (await run(root, 'verify')).json()
            expect({ code: verify.code, faults: verify.data.faults }).toEqual({ code: 3, faults: [] })
            spawnSync('mount', ['-o', 'remount,size=60m', root])
            expect((await sync()).code).toBe(0)
            expect((await run(root, 'verify')).code).toBe(0)
          } finally {
            unmount(root)
          }
        }),
    )

    test.runIf(existsSync('/proc/sys'))('a place in which no folder can be made', async () => {
      const { code, error } = (await run('/proc/sys/everybar', 'sync', BTC, ...RANGE)).json()
      expect([code, error?.code]).toEqual([1, 'root.not-writable'])
    })

    test('read-only: what writes is refused, what reads works', () =>
      inFolder(async (folder) => {
        const root = join(folder, 'disk')
        mkdirSync(root)
        mount(root, 'size=20m')
        try {
          expect((await run(root, 'sync', BTC, ...RANGE)).code).toBe(0)
          spawnSync('mount', ['-o', 'remount,ro', root])
          for (const at of [root, join(root, 'new')]) {
            const { code, error } = (await run(at, 'sync', BTC, ...RANGE)).json()
            expect({ code, error: error?.code.replace(/^\w+/, '') }).toEqual({
              code: 1,
              error: '.not-writable',
            })
          }
          for (const command of ['status', 'gaps', 'verify', 'query SELECT\u00a01']) {
            expect(`${command} ${(await run(root, ...command.split(' '))).code}`).toBe(`${command} 0`)
          }
        } finally {
          unmount(root)
        }
      }))
  },
)
