/**
 * From the close of a bar to its commit, for many series of a minute at once: into the lake and PostgreSQL by `everybar live`,
 * and beside it into PostgreSQL by the polling loop people write with ccxt. In real time, so it takes a while:
 * `node bench/live.ts [--series 500] [--minutes 3]`. Both wait five seconds after the close, which is in every number.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import pg from 'pg'
import { startPostgres } from '../test/support/postgres-server.ts'
import { count, mustAgree, numbers, report } from './figure.ts'
import { file, measured, scratchFolder } from './processes.ts'

const { series, minutes } = numbers({ series: 500, minutes: 3 })
const venue = spawn(process.execPath, [file('jobs/live-venue.ts'), String(series)], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.on('exit', () => venue.kill())
const url = String((await once(venue.stdout, 'data'))[0]).trim()
const postgres = await startPostgres({ durable: true })
try {
  const database = await postgres.freshDatabase()
  const common = [url, database, String(series), String(minutes)]
  const ours = await measured([file('jobs/live-everybar.ts'), ...common, scratchFolder()])
  const theirs = await measured([file('jobs/live-ccxt.ts'), ...common])
  await sameBars(database)
  tell(
    JSON.parse(ours.stdout) as { delays: Record<string, number[]>; cpuMs: number },
    JSON.parse(theirs.stdout) as { delays: number[]; cpuMs: number },
  )
} finally {
  await postgres.stop()
}

/** Both tables hold the same bars of the minutes the loop polled: everybar is asked to fetch them once more first. */
async function sameBars(database: string): Promise<void> {
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  const { rows: polled } = await client.query(
    `SELECT count(*)::int AS rows, sum(close) AS closes, max(open_time) AS last FROM polled
      WHERE open_time <= (SELECT max(open_time) FROM bars)`,
  )
  const { rows: kept } = await client.query(
    `SELECT count(*)::int AS rows, sum(b.close) AS closes FROM bars b JOIN polled p
      ON replace(p.symbol, '/', '') = b.symbol AND p.open_time = b.open_time`,
  )
  const { rows: all } = await client.query('SELECT count(*)::int AS rows FROM bars')
  await client.end()
  if (all[0].rows < series * minutes) throw new Error(`only ${all[0].rows} bars were kept`)
  const bars = ({ rows, closes }: { rows: number; closes: number | null }) => ({
    rows,
    sumOfCloses: closes ?? 1,
  })
  mustAgree(bars(kept[0]), bars(polled[0]))
}

function tell(
  ours: { delays: Record<string, number[]>; cpuMs: number },
  theirs: { delays: number[]; cpuMs: number },
): void {
  const at = (values: readonly number[], share: number) =>
    [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]! / 1_000
  for (const [name, share] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const theirValue = at(theirs.delays, share)
    for (const [store, delays] of Object.entries(ours.delays)) {
      report({
        figure: `close to committed in ${store}, ${series} series, ${name}`,
        ours: `${at(delays, share).toFixed(2)} s`,
        peer: `ccxt loop into postgres ${theirValue.toFixed(2)} s`,
        ratio: at(delays, share) / theirValue,
        target: { atMost: 1 },
      })
    }
  }
  const perBar = (cpuMs: number, bars: number) => cpuMs / Math.max(1, bars)
  const mine = perBar(ours.cpuMs, ours.delays.parquet?.length ?? 0)
  const peer = perBar(theirs.cpuMs, theirs.delays.length)
  report({
    figure: `processor time a live bar, two stores and an archive beside one table`,
    ours: `${mine.toFixed(2)} ms (${count(ours.delays.parquet?.length ?? 0)} bars)`,
    peer: `ccxt loop ${peer.toFixed(2)} ms (${count(theirs.delays.length)} bars)`,
    ratio: mine / peer,
    target: { atMost: 2 },
  })
}
