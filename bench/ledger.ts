/**
 * What planning a run that has nothing to do costs with a million slices in the ledger, as one series and as a thousand:
 * `node bench/ledger.ts [--slices 1000000]`.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ledger, LedgerSeries, SliceRecord } from '../src/ledger/ledger.ts'
import { openSqliteLedger } from '../src/ledger/sqlite/sqlite-ledger.ts'
import { facet, sliceRecord, span } from '../src/testing/ledger-samples.ts'
import { count, numbers, report, seconds } from './figure.ts'

const { slices: SLICES } = numbers({ slices: 1_000_000, rounds: 1 })
const BATCH = 10_000

const seriesOf = (n: number): LedgerSeries => ({ seriesId: `x:spot:S${n}:1m`, endpoint: 'x.klines' })

async function fill(ledger: Ledger, series: LedgerSeries, slices: number): Promise<void> {
  for (let from = 0; from < slices; from += BATCH) {
    const numbers = Array.from({ length: Math.min(BATCH, slices - from) }, (_, i) => from + i)
    await ledger.record(
      series,
      numbers.map((n): SliceRecord => sliceRecord(n)),
    )
    await ledger.recordStored(
      series,
      'lake',
      numbers.map((n) => facet(n)),
    )
  }
}

async function planAll(ledger: Ledger, series: readonly LedgerSeries[], slices: number): Promise<void> {
  const everything = span(0, slices)
  for (const one of series) {
    if ((await ledger.covered(one, everything)).length !== 1) throw new Error('not covered')
    for await (const record of ledger.notable(one, everything)) throw new Error(`notable: ${record.key}`)
    for await (const record of ledger.unstored(one, 'lake')) throw new Error(`unstored: ${record.key}`)
  }
}

for (const many of [1, 1_000]) {
  const folder = await mkdtemp(join(tmpdir(), 'everybar-bench-'))
  const path = join(folder, 'ledger.db')
  const each = SLICES / many
  const series = Array.from({ length: many }, (_, n) => seriesOf(n))
  let ledger = openSqliteLedger({ path })
  const filledAt = performance.now()
  for (const one of series) await fill(ledger, one, each)
  const fillMs = performance.now() - filledAt
  await ledger[Symbol.asyncDispose]()
  const startedAt = performance.now()
  ledger = openSqliteLedger({ path })
  await planAll(ledger, series, each)
  const planMs = performance.now() - startedAt
  await ledger[Symbol.asyncDispose]()
  const megabytes = (await stat(path)).size / 1e6
  const memory = (process.resourceUsage().maxRSS / 1024).toFixed(0)
  console.error(
    `recorded in ${seconds(fillMs / 1_000)} (${megabytes.toFixed(0)} MB), peak memory ${memory} MB`,
  )
  report({
    figure: `plan of nothing, ${count(many)} × ${count(each)} slices`,
    ours: seconds(planMs / 1_000),
    peer: '',
    ratio: planMs / 1_000,
    target: { atMost: 2 },
  })
  await rm(folder, { recursive: true })
}
