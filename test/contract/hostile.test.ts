import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sync, verify } from '../../src/app/commands.ts'
import { contextOf, selectionNamed } from '../../src/app/library-options.ts'
import { configSchema } from '../../src/config/schema.ts'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import { isEverybarError } from '../../src/model/errors.ts'
import { parseSeries } from '../../src/model/series.ts'
import { timeRange } from '../../src/model/time.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { type HostileRun, type HostileSubject, hostileContract } from '../../src/testing/hostile-contract.ts'

const DAY_MS = 86_400_000
const nowMs = Date.UTC(2024, 2, 1)
const from = Date.UTC(2024, 0, 31)
const to = from + 2 * DAY_MS

/** The real pipeline, from configuration to lake, over the simulated venue. */
async function simulated(selector: string): Promise<HostileSubject> {
  const venue = await startSimulator({
    seed: 21,
    nowMs,
    windowMs: 1_000,
    weightLimit: 100_000,
    fromMs: from - DAY_MS,
  })
  const folder = mkdtempSync(join(tmpdir(), 'everybar-hostile-'))
  let roots = 0
  let time = nowMs
  const optionsOf = (root: string) => ({
    config: configSchema.parse({
      root,
      sources: { binance: { base_url: venue.url }, ccxt: { base_url: venue.url } },
      fetch: {
        attempts: 2,
        concurrency: 3,
        backoff_base_ms: 1,
        backoff_max_ms: 5,
        headers_timeout_ms: 2_000,
        body_timeout_ms: 400,
        body_bytes_max: 4_000_000,
      },
    }),
    series: selector,
    from,
    to,
  })
  return {
    spoil: venue.setFaults,
    later: () => venue.setNow((time += 2 * 3_600_000)),
    sync: async (root, { audit } = {}) => {
      const context = contextOf(optionsOf(root))
      const selection = await selectionNamed(context, optionsOf(root))
      try {
        const report = await sync(context, {
          ...selection,
          ...(audit && { recheck: { kind: 'range', range: timeRange(from, to) } }),
        })
        const [series] = report.series
        const { problems, missing, findings } = series!
        return { complete: report.complete, problems, missing, findings }
      } catch (error) {
        return refusedBy(error)
      }
    },
    verify: (root) =>
      verify(contextOf(optionsOf(root)), { series: [parseSeries(selector)], ...range }).catch(
        (error: unknown) => {
          if (isEverybarError(error, 'series.never-asked')) return { complete: false, faults: [] }
          throw error
        },
      ),
    bars: async (root) => {
      const lake = await openLake({ root })
      const runs: BarBatch[] = []
      for await (const run of lake.scan(parseSeries(selector), timeRange(from, to))) runs.push(run)
      await lake[Symbol.asyncDispose]()
      return barsOf(concatBatches(runs))
    },
    newRoot: () => join(folder, String(roots++)),
    close: async () => {
      await venue.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const range = { from: { kind: 'at', ms: from }, to: { kind: 'at', ms: to } } as const

function refusedBy(error: unknown): HostileRun {
  if (!isEverybarError(error)) throw error
  return { complete: false, problems: [error], missing: {}, findings: {} }
}

hostileContract('binance.klines', () => simulated('binance:spot:BTCUSDT:1m'))
hostileContract('binance.um-klines', () => simulated('binance:um:BTCUSDT:1m'), {
  moments: ['a page in the middle', 'every answer'],
})
// Read by ccxt, newest first, another shape.
hostileContract('bybit.ohlcv', () => simulated('bybit:spot:BTCUSDT:1m'), {
  moments: ['a page in the middle', 'a page after a search for the first bar'],
})
