import type { Command } from 'commander'
import type { PlanReport } from '../../app/api.ts'
import { exitCodeOfProblems, exitCodes } from '../../model/exit-code.ts'
import { bytes, counted, duration, number, time } from '../format.ts'
import { noteProblems } from '../problems.ts'
import type { Runner } from '../program.ts'
import { readSelection, readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command).action(
    run(async (cli, operands: readonly string[], options: SelectionOptions) => {
      const named = operands.length > 0 || options.series !== undefined || options.seriesFile !== undefined
      const { kite } = named ? {} : (await cli.config()).config
      if (kite && (kite.enabled || !(await readSelectionIfAny(cli, [], options)).series)) {
        const { planWithKite } = await import('../kite-sync.ts')
        return planWithKite(cli, options)
      }
      const selection = await readSelection(cli, operands, options)
      const { plan } = await import('../../app/commands.ts')
      const report = await plan(await cli.app(), selection)
      noteProblems(cli, report.problems)
      const exitCode = report.problems.length > 0 ? exitCodeOfProblems(report.problems) : exitCodes.complete
      return { data: report, text: planText(report), exitCode }
    }),
  )
}

function planText({ series, requests, weight, etaMs, archiveBytes }: PlanReport): string {
  const columns = [
    'series',
    'from',
    'to',
    right('slices'),
    right('to fetch'),
    right('to replay'),
    right('requests'),
    right('weight'),
  ]
  const rows = series.map((one) => [
    one.series,
    time(one.range.startMs),
    time(one.range.endMs),
    ...[one.slices, one.toFetch, one.toReplay, one.requests, one.weight].map(number),
  ])
  const total = `${counted(requests, 'request')}, weight ${number(weight)}, about ${bytes(archiveBytes)} of answers`
  const eta =
    requests === 0 ? 'nothing to fetch' : `${total}; at least ${duration(etaMs)} by the venue’s rate limit`
  return `${table(columns, rows)}\n\n${eta}`
}
