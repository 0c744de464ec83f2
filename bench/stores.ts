/**
 * What committing costs: PostgreSQL against a multi-row `INSERT … ON CONFLICT` of the same rows into the same table on
 * the same server, and a replay of many bars into each store: `node --expose-gc bench/stores.ts [--bars 100000]
 * [--replayed 2000000] [--rounds 5]`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { allocateBatch, type BarBatch, pickBars, sliceBatch } from '../src/model/bar.ts'
import { parseSeries, type Series } from '../src/model/series.ts'
import { openBigQueryStore } from '../src/store/bigquery/bigquery-store.ts'
import { openLake } from '../src/store/parquet/open-lake.ts'
import { barsLayout, type TableLayout } from '../src/store/postgres/layout.ts'
import { settingsOf } from '../src/store/postgres/options.ts'
import { openPostgresStore } from '../src/store/postgres/postgres-store.ts'
import { qualified, quoteName, writtenColumns } from '../src/store/postgres/sql.ts'
import type { Store } from '../src/store/store.ts'
import { startBigQuery } from '../test/support/bigquery-server.ts'
import { startPostgres } from '../test/support/postgres-server.ts'
import { median, numbers, report } from './figure.ts'

const {
  bars: BARS,
  replayed: REPLAYED,
  rounds: ROUNDS,
} = numbers({
  bars: 100_000,
  replayed: 2_000_000,
  rounds: 5,
})
const ROWS_PER_INSERT = 1_000
const BARS_PER_COMMIT = 50_000
const start = Date.UTC(2020, 0, 1)

function makeBars(from: number, length: number, shift = 0): BarBatch {
  const batch = allocateBatch(length, [
    'closeTimeMs',
    'quoteVolume',
    'trades',
    'takerBuyBaseVolume',
    'takerBuyQuoteVolume',
  ])
  for (let i = 0; i < length; i++) {
    const n = from + i
    const price = 20_000 + (n % 7_919) / 8 + shift
    batch.openTimeMs[i] = start + n * 60_000
    batch.open[i] = price
    batch.high[i] = price + 5
    batch.low[i] = price - 5
    batch.close[i] = price + 1
    batch.volume[i] = (n % 101) / 4
    batch.native.closeTimeMs![i] = start + (n + 1) * 60_000 - 1
    batch.native.quoteVolume![i] = price * batch.volume[i]!
    batch.native.trades![i] = n % 1_000
    batch.native.takerBuyBaseVolume![i] = batch.volume[i]! / 2
    batch.native.takerBuyQuoteVolume![i] = (price * batch.volume[i]!) / 2
  }
  return batch
}

/** What a program without everybar does: statements of a thousand rows; `prepared` ones are parsed once only. */
async function insertRows(
  client: pg.Client,
  layout: TableLayout,
  series: Series,
  batch: BarBatch,
  prepared = false,
): Promise<void> {
  const values = layout.values.map(({ name }) => quoteName(name))
  const row = (alias: string) => `(${values.map((name) => `${alias}.${name}`).join(', ')})`
  const key = layout.key.map(({ value }) => value(series))
  const width = key.length + 1 + values.length
  const sqlFor = (rows: number) => {
    const tuples = Array.from(
      { length: rows },
      (_, r) => `(${Array.from({ length: width }, (_, c) => `$${r * width + c + 1}`).join(',')})`,
    )
    const set = values.map((name) => `${name} = excluded.${name}`).join(', ')
    return `INSERT INTO ${qualified(layout)} AS kept (${writtenColumns(layout)}) VALUES ${tuples.join(',')}
      ON CONFLICT (${layout.primaryKey.map(quoteName).join(', ')}) DO UPDATE SET ${set}
      WHERE ${row('kept')} IS DISTINCT FROM ${row('excluded')}`
  }
  await client.query('BEGIN')
  for (let from = 0; from < batch.length; from += ROWS_PER_INSERT) {
    const rows = Math.min(ROWS_PER_INSERT, batch.length - from)
    const parameters: unknown[] = []
    for (let i = from; i < from + rows; i++) {
      parameters.push(...key, new Date(batch.openTimeMs[i]!))
      for (const { field, type } of layout.values) {
        const column = field in batch ? batch[field as 'open'] : batch.native[field as 'trades']
        const value = column?.[i] ?? null
        parameters.push(type === 'timestamptz' && value !== null ? new Date(value) : value)
      }
    }
    const statement = { text: sqlFor(rows), values: parameters }
    await client.query(prepared ? { name: `insert_${rows}`, ...statement } : statement)
    if ((from + rows) % BARS_PER_COMMIT === 0) await client.query('COMMIT; BEGIN')
  }
  await client.query('COMMIT')
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return (performance.now() - from) / 1000
}

const rate = (bars: number, time: number) => `${Math.round(bars / time / 1000)}k bars/s`.padStart(13)

const evens = (batch: BarBatch): BarBatch =>
  pickBars(
    batch,
    Array.from({ length: Math.ceil(batch.length / 2) }, (_, i) => i * 2),
  )

async function commitAll(store: Store, series: Series, batch: BarBatch): Promise<void> {
  for (let from = 0; from < batch.length; from += BARS_PER_COMMIT) {
    await store.commit(series, sliceBatch(batch, from, from + BARS_PER_COMMIT))
  }
}

/** The same rows into the same table, by the store and by INSERT, each into a series of its own. */
async function comparePostgres(): Promise<void> {
  const server = await startPostgres({ durable: true })
  const store = await openPostgresStore({ name: 'pg', url: server.url })
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await store.applySchema()
  const layout = barsLayout(settingsOf({ name: 'pg' }))
  const bars = makeBars(0, BARS)
  const cases: [string, BarBatch | undefined, BarBatch, number][] = [
    ['an empty range', undefined, bars, 5],
    ['every second bar is there', evens(bars), bars, 2.5],
    ['every bar is restated', bars, makeBars(0, BARS, 1), 2.5],
    ['every bar is the same', bars, bars, 2.5],
  ]
  console.error(`postgres, ${BARS} bars of 17 columns, commits of 50,000, medians of ${ROUNDS} rounds`)
  let symbols = 0
  // The server's log files are made, and this program's functions compiled, before anything is timed.
  await insertRows(client, layout, parseSeries('bench:spot:WARM0:1m'), bars)
  await commitAll(store, parseSeries('bench:spot:WARM1:1m'), bars)
  for (const [what, before, batch, budget] of cases) {
    const insert: number[] = []
    const prepared: number[] = []
    const commit: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const series = (name: string) => parseSeries(`bench:spot:${name}${symbols++}:1m`)
      for (const [times, run] of [
        [insert, (one: Series) => insertRows(client, layout, one, batch)],
        [prepared, (one: Series) => insertRows(client, layout, one, batch, true)],
        [commit, (one: Series) => commitAll(store, one, batch)],
      ] as const) {
        const one = series('BENCH')
        if (before) await store.commit(one, before)
        await client.query('VACUUM ANALYZE bars')
        await client.query('CHECKPOINT')
        times.push(await seconds(() => run(one)))
      }
    }
    console.error(
      `  prepared INSERT ${rate(batch.length, median(prepared)).trim()}: ` +
        `${(median(prepared) / median(commit)).toFixed(1)} times`,
    )
    report({
      figure: `PostgreSQL, ${what}`,
      ours: rate(batch.length, median(commit)).trim(),
      peer: `multi-row INSERT, ${rate(batch.length, median(insert)).trim()}`,
      ratio: median(insert) / median(commit),
      target: { atLeast: budget },
    })
  }
  await client.end()
  await replay('postgres', store)
  await server.stop()
}

/** Many bars, made as they go, in commits of the size the store likes; what memory that takes at most. */
async function replay(name: string, store: Store, bars = REPLAYED): Promise<void> {
  const series = parseSeries('bench:spot:REPLAY:1m')
  const { rowsPerCommit } = store.traits
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  const peaks: number[] = []
  const time = await seconds(async () => {
    for (let from = 0; from < bars; from += rowsPerCommit) {
      await store.commit(series, makeBars(from, Math.min(rowsPerCommit, bars - from)))
      peaks.push(process.memoryUsage().rss - before)
    }
  })
  const middle = Math.max(...peaks.slice(0, Math.ceil(peaks.length / 2)))
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`
  console.error(
    `replay into ${name}: ${bars} bars in ${time.toFixed(1)} s, ${rate(bars, time).trim()}, ` +
      `memory above the start: first half ${megabytes(middle)}, all ${megabytes(Math.max(...peaks))}`,
  )
  await store[Symbol.asyncDispose]()
}

async function replayLake(): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'everybar-bench-'))
  await replay('parquet', await openLake({ root }))
  await rm(root, { recursive: true })
}

async function replayBigQuery(): Promise<void> {
  const server = await startBigQuery()
  const { project, url: apiEndpoint } = server
  // The local server is in this process: its memory and its time are counted too.
  await replay(
    'bigquery (local server)',
    await openBigQueryStore({ name: 'bq', project, apiEndpoint, dmlGapMs: 0 }),
  )
  await server.close()
}

await comparePostgres()
await replayLake()
await replayBigQuery()
