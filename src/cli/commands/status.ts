import type { Command } from 'commander'
import type { SeriesStatus } from '../../app/api.ts'
import { number, openBars, percent, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command).action(
    run(async (cli, operands: readonly string[], options: SelectionOptions) => {
      const selection = await readSelectionIfAny(cli, operands, options)
      const { status } = await import('../../app/commands.ts')
      const series = await status(await cli.app(), selection)
      return { data: series, text: statusText(series) }
    }),
  )
}

function statusText(series: readonly SeriesStatus[]): string {
  const columns = ['series', 'first', 'last', right('bars'), right('coverage'), right('open gaps'), 'behind']
  const rows = series.map((one) => [
    one.series,
    time(one.firstMs),
    time(one.lastMs),
    number(one.bars),
    percent(one.coverage),
    number(openBars(one.missing)),
    Object.entries(one.behind)
      .filter(([, slices]) => slices > 0)
      .map(([store, slices]) => `${store} ${number(slices)}`)
      .join(', ') || '-',
  ])
  return table(columns, rows)
}
