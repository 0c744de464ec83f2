import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { rebuild, repair, sync, verify } from '../../src/index.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { filesIn } from './root.ts'

const at = (text: string) => Date.parse(text)

/** A root with all there is to damage: outages, a restatement, an open slice, several months, series and widths. */
export interface ProvedRoot {
  readonly root: string
  readonly venue: Simulator
  /** Every file that everybar keeps and answers for, relative to the root. */
  readonly files: () => string[]
  /** Writes every file as it was at first, and removes all others. */
  readonly restore: () => void
  readonly verify: typeof verify
  readonly sync: typeof sync
  readonly repair: typeof repair
  readonly rebuild: typeof rebuild
  readonly close: () => Promise<void>
}

/** Files that come and go by themselves, tell of requests only or of whose the ledger is, and the seal, which only vouches for it. */
const passing = /^\.everybar\/(?:lock\.|spent\.|keeper\.|.*-(?:wal|shm)$|.*\.seal$)/

export async function provedRoot(): Promise<ProvedRoot> {
  const venue = await startSimulator({
    seed: 11,
    nowMs: at('2024-03-02T12:30:30Z'),
    fromMs: at('2024-01-29T05:00Z'),
    outages: [{ startMs: at('2024-01-31T23:10Z'), endMs: at('2024-02-01T01:35Z') }],
    weightLimit: Number.POSITIVE_INFINITY,
  })
  const root = mkdtempSync(join(tmpdir(), 'everybar-proved-'))
  const common = { root, baseUrl: venue.url }
  const series = ['binance:spot:BTCUSDT:5m', 'binance:spot:ETHUSDT:15m']
  await sync({ ...common, series, from: '2024-01-29', to: '2024-03-02' })
  await sync({ ...common, series: 'binance:um:BTCUSDT:1h', from: '2024-01-29' })
  const latest = { ...common, series: 'binance:spot:BTCUSDT:1m', from: '2024-03-01T22:00Z' }
  await sync(latest)
  venue.restate({ symbol: 'BTCUSDT', openTimeMs: at('2024-03-02T12:29:00Z'), volume: '1234.5' })
  venue.setNow(at('2024-03-02T12:50:30Z'))
  await sync(latest)
  const whole = `${root}.whole`
  cpSync(root, whole, { recursive: true })
  const kept = filesIn(whole)
  return {
    root,
    venue,
    files: () => kept.filter((path) => !passing.test(path)),
    restore: () => {
      rmSync(join(root, '.everybar/quarantine'), { recursive: true, force: true })
      for (const path of filesIn(root)) if (!kept.includes(path)) rmSync(join(root, path))
      for (const path of kept) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), readFileSync(join(whole, path)))
      }
    },
    verify: (options = {}) => verify({ ...common, ...options }),
    sync: (options) => sync({ ...common, ...options }),
    repair: (options = {}) => repair({ ...common, ...options }),
    rebuild: (options) => rebuild({ ...common, ...options }),
    close: async () => {
      await venue.close()
      for (const folder of [root, whole]) rmSync(folder, { recursive: true, force: true })
    },
  }
}
