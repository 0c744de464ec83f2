import type { SyncReport } from '../app/api.ts'
import { counted, countsText, duration, number, time } from './format.ts'
import { right, table } from './table.ts'

/** What a sync came to, for people: a line for each series, what was found, and the verdict. */
export function syncText(report: SyncReport): string {
  const columns = [
    'series',
    'from',
    'to',
    right('fetched'),
    right('new bars'),
    right('revised'),
    'missing',
    'complete',
  ]
  const rows = report.series.map((one) => [
    one.series,
    time(one.range?.startMs ?? null),
    time(one.range?.endMs ?? null),
    number(one.slices.fetched),
    number(one.bars.inserted),
    number(one.bars.revised),
    countsText(one.missing),
    one.complete ? 'yes' : 'no',
  ])
  const { requests, retries, durationMs, runId } = report
  const work = `${counted(requests, 'request')} (${number(retries)} ${retries === 1 ? 'retry' : 'retries'}) in ${duration(durationMs)}, run ${runId}`
  const found = report.series.flatMap(
    ({ series, findings: { missing: _, 'not-closed': __, ...findings } }) => {
      const counts = countsText(findings) // what is missing has its column, and the forming bar is always there
      return counts === '-' ? [] : [`found in ${series}: ${counts}`]
    },
  )
  const replayed = report.series.reduce((sum, { slices }) => sum + slices.replayed, 0)
  if (replayed > 0)
    found.push(`${counted(replayed, 'archived answer')} replayed into stores that lacked them`)
  return [table(columns, rows), '', ...found, `${verdict(report)}; ${work}`].join('\n')
}

function verdict({ series, complete, interrupted }: SyncReport): string {
  if (complete) return 'complete'
  const open = `${series.filter((one) => !one.complete).length} of ${series.length} series not complete`
  if (interrupted) return `interrupted, ${open}: run the same again to go on`
  const failed = series.some(({ problems }) => problems.length > 0)
  return `${open}: ${failed ? 'see the errors above' : 'see everybar gaps'}`
}
