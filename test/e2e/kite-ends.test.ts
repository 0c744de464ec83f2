import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { openInstrumentBook } from '../../src/ledger/sqlite/instrument-book.ts'
import {
  type KiteSimulator,
  type SimulatedInstrument,
  startKiteSimulator,
} from '../../src/simulator/kite-simulator.ts'
import { istDay } from '../../src/source/kite/intervals.ts'
import { inFolder, runHere } from '../run-cli.ts'

const future = (token: number, symbol: string, expiry: string): SimulatedInstrument => ({
  ...{ token, symbol, exchange: 'NFO', type: 'FUT', segment: 'NFO-FUT', expiry, listed: '2024-01-01' },
})
const [old, next] = [future(1, 'OLDFUT', '2024-03-28'), future(2, 'NEXTFUT', '2024-06-27')]
const share: SimulatedInstrument = { token: 3, symbol: 'TCS', listed: '2024-01-01' }
const other: SimulatedInstrument = { ...share, token: 4, symbol: 'OTHER' }
const evening = (day: string) => Date.parse(`${day}T18:00:00+05:30`)

type Run = (...args: string[]) => ReturnType<typeof runHere>
interface At {
  readonly venue: KiteSimulator
  readonly root: string
  readonly run: Run
  readonly setDay: (day: string) => void
}

/** A root that knows both contracts and a share, on 14 March by this machine's clock and the venue's. */
async function withContracts(use: (at: At) => Promise<void>): Promise<void> {
  const clock = { aheadMs: evening('2024-03-14') - Date.now() }
  const now = Date.now
  vi.spyOn(Date, 'now').mockImplementation(() => now() + clock.aheadMs)
  const venue = await startKiteSimulator({
    instruments: [old, next, share, other],
    nowMs: Date.now(),
    loginEndsAtMs: Number.POSITIVE_INFINITY,
  })
  try {
    await inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'everybar.yaml'), 'root: ./data\n')
      const env = {
        EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
        EVERYBAR_KITE_API_KEY: venue.apiKey,
        EVERYBAR_KITE_ACCESS_TOKEN: venue.accessToken(),
      }
      const run: Run = (...args) => runHere(args, { cwd, env })
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      const setDay = (day: string) => {
        clock.aheadMs = evening(day) - now()
        venue.setNow(evening(day))
      }
      await use({ venue, root: join(cwd, 'data'), run, setDay })
    })
  } finally {
    vi.restoreAllMocks()
    await venue.close()
  }
}

/** The gaps from 11 March to the end of 1 April, each with its first and last day, and the exit code. */
async function gapsOf(run: Run, id = 'kite:nfo:OLDFUT:1d'): Promise<{ code: number | null; gaps: string[] }> {
  const range = ['--from', '2024-03-10T18:30Z', '--to', '2024-04-01T18:30Z']
  const answer = await run('gaps', id, ...range, '--json')
  const gaps = answer
    .json()
    .data.filter((gap: { class: string }) => gap.class !== 'closed_session')
    .map((gap: { class: string; range: { startMs: number; endMs: number } }) => {
      return `${gap.class} ${istDay(gap.range.startMs)} … ${istDay(gap.range.endMs - 1)}`
    })
  return { code: answer.code, gaps }
}
const fetchOld = (run: Run) => run('sync', 'kite:nfo:OLDFUT:1d', '--from', '2024-02-01')

describe('a contract that expired on 28 March, and is not in the list of 1 April', () => {
  test('ends with its last bar where that was fetched', async () => {
    await withContracts(async ({ venue, run, setDay }) => {
      setDay('2024-03-28')
      expect((await fetchOld(run)).code).toBe(0)
      setDay('2024-04-01')
      venue.setInstruments([next, share, other])
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      expect(await gapsOf(run)).toEqual({ code: 0, gaps: ['after_delisting 2024-03-29 … 2024-04-01'] })
    })
  })

  test('lacks the days that were never fetched, up to its expiry', async () => {
    await withContracts(async ({ venue, run, setDay }) => {
      expect((await fetchOld(run)).code).toBe(0)
      setDay('2024-04-01')
      venue.setInstruments([next, share, other])
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      const { code, gaps } = await gapsOf(run)
      expect(code).toBe(3)
      const days = gaps.map((gap) => gap.replaceAll('2024-03-', ''))
      expect(days.at(-1)).toBe('after_delisting 29 … 2024-04-01')
      expect(days[0]).toBe('not_yet_final 15 … 15')
    })
  })

  test('is noted to have ended by the next run, where one was killed after it took the list in', async () => {
    await withContracts(async ({ venue, root, run, setDay }) => {
      setDay('2024-03-28')
      expect((await fetchOld(run)).code).toBe(0)
      setDay('2024-04-01')
      venue.setInstruments([next, share, other])
      const book = openInstrumentBook({ path: join(root, '.everybar', 'instruments.db') })
      const left = book.list({ venue: 'kite' }).filter(({ symbol }) => symbol !== old.symbol)
      book.update('kite', left, { seenAtMs: Date.now(), exchanges: ['NFO', 'NSE'] })
      book[Symbol.dispose]()
      expect((await gapsOf(run)).gaps).not.toContain('after_delisting 2024-03-29 … 2024-04-01')
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      expect(await gapsOf(run)).toEqual({ code: 0, gaps: ['after_delisting 2024-03-29 … 2024-04-01'] })
    })
  })
})

describe('a share that is not in the list of 1 April', () => {
  test.each([
    ['14', 'ends with its last bar, of the last day it was listed', 0, ['after_delisting 15 … 2024-04-01']],
    [
      '15',
      'lacks that day, which was not fetched',
      3,
      ['not_yet_final 15 … 15', 'after_delisting 16 … 2024-04-01'],
    ],
  ])('listed last on the %sth, %s', async (day, _what, exitCode, found) => {
    await withContracts(async ({ venue, run, setDay }) => {
      expect((await run('sync', 'kite:nse:TCS:1d', '--from', '2024-02-01')).code).toBe(0)
      setDay(`2024-03-${day}`)
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      setDay('2024-04-01')
      venue.setInstruments([old, next, other])
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      const { code, gaps } = await gapsOf(run, 'kite:nse:TCS:1d')
      expect([code, gaps.map((gap) => gap.replaceAll('2024-03-', ''))]).toEqual([exitCode, found])
    })
  })
})
