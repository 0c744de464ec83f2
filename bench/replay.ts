/**
 * Memory of giving a store that was just named what is archived, by a `sync` that has nothing to fetch: BigQuery, a fifth of
 * the bars and all: `node bench/replay.ts [--rounds 3] [--bars 2000000]`.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { median, megabytes, numbers, report } from './figure.ts'
import { file, measured, scratchFolder, startJob, startVenue, syncArgs, venueAt } from './processes.ts'

const { bars, rounds } = numbers({ bars: 2_000_000, rounds: 3 })
const from = '2018-01-01T00:00:00Z'
const end = (rows: number) => new Date(Date.parse(from) + rows * 60_000).toISOString()
const series = ['binance:spot:BTCUSDT:1m']
const scratch = scratchFolder()
const venue = await startVenue(from, end(bars))
const ledgerOf = (root: string) => join(root, '.everybar')

/** A root with so many bars archived and in the lake, and a copy of what its ledger knows then. */
async function archived(rows: number): Promise<string> {
  const root = join(scratch, `root-${rows}`)
  await measured(syncArgs(series, from, end(rows), root), venueAt(venue.url))
  cpSync(ledgerOf(root), `${root}-ledger`, { recursive: true })
  return root
}

/** What a replay into an empty table holds at most. @throws where it was none. */
async function heldBy(root: string, rows: number): Promise<number> {
  const server = await startJob('bigquery.ts')
  // What the ledger knew before there was a second store.
  rmSync(ledgerOf(root), { recursive: true })
  cpSync(`${root}-ledger`, ledgerOf(root), { recursive: true })
  const config = join(scratch, 'everybar.yaml')
  writeFileSync(config, `stores: { bigquery: { project: bench, api_endpoint: "${server.url}" } }\n`)
  const heldTo = join(scratch, 'held')
  const probe = { NODE_OPTIONS: `--expose-gc --require ${file('jobs/held.cjs')}`, HELD_TO: heldTo }
  const args = [...syncArgs(series, from, end(rows), root), '--config', config]
  const cost = await measured(args, { ...venueAt(venue.url), ...probe })
  server.stop()
  const { data } = JSON.parse(cost.stdout) as { data: { series: [{ slices: { replayed: number } }] } }
  const { replayed } = data.series[0].slices
  if (replayed * 1_000 < rows) throw new Error(`${replayed} answers were replayed, of ${rows} bars`)
  const held = Number(readFileSync(heldTo, 'utf8'))
  console.error(
    `${rows} bars: holds ${megabytes(held)}, peak of the process ${megabytes(cost.megabytes)}, ${cost.seconds.toFixed(1)} s`,
  )
  return held
}

const [few, many] = [bars / 5, bars]
const roots = { few: await archived(few), many: await archived(many) }
const held: { readonly few: number[]; readonly many: number[] } = { few: [], many: [] }
for (let round = 0; round < rounds; round++) {
  held.few.push(await heldBy(roots.few, few))
  held.many.push(await heldBy(roots.many, many))
}
venue.stop()
report({
  figure: `memory held while ${bars / 1e6} M archived bars go into BigQuery`,
  ours: megabytes(median(held.many)),
  peer: `of ${few / 1e6} M bars, ${megabytes(median(held.few))}`,
  ratio: median(held.many) / median(held.few),
  target: { atMost: 1.2 },
})
