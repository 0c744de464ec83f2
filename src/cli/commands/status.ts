import { type Command, InvalidArgumentError } from 'commander'
import type { SeriesStatus } from '../../app/api.ts'
import { openBars } from '../../coverage/gap-class.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { readDuration } from '../../model/when.ts'
import { duration, number, percent, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

interface StatusOptions extends SelectionOptions {
  readonly failIfStale?: number
}

const help = `
Lag is what lies between the end of the last bar that is there, in every store, and the end of the last bar that is due:
final by this machine's clock, its venue's settle time passed. Time in which the market was closed does not count, and
holes further back are gaps, no lag. A series whose end is named (--to, or "to" in the configuration) is due up to there.

--fail-if-stale 5m exits with 3 when the first bar of a series' lag has been due for more than five minutes, or when a
series that is named was never asked for. Right after a bar has closed a series lags by that bar, and is not stale yet.`

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads')
    .option('--fail-if-stale <duration>', 'exit with 3 when a bar that was due so long ago is not there', age)
    .addHelpText('after', help)
    .action(
      run(async (cli, operands: readonly string[], options: StatusOptions) => {
        const selection = await readSelectionIfAny(cli, operands, options)
        const { status } = await import('../../app/commands.ts')
        const series = await status(await cli.app(), selection)
        const { failIfStale: limitMs } = options
        const stale = limitMs === undefined ? [] : series.filter((one) => isStale(one, limitMs))
        if (limitMs !== undefined && series.length === 0) {
          const { nothingKept } = await import('../../app/inspect.ts')
          throw nothingKept((await cli.config()).config.root)
        }
        if (!cli.verbosity.quiet) for (const one of stale) cli.note(staleText(one))
        return {
          data: series,
          text: statusText(series),
          exitCode: stale.length > 0 ? exitCodes.incomplete : exitCodes.complete,
        }
      }),
    )
}

function age(text: string): number {
  const ms = readDuration(text)
  if (ms === undefined) throw new InvalidArgumentError('Write a duration: 90s, 5m, 2h, 1d.')
  return ms
}

/** A series that was never asked for has nothing to be fresh with. */
const isStale = ({ wanted, overdueMs }: SeriesStatus, limitMs: number): boolean =>
  wanted.length === 0 || (overdueMs !== null && overdueMs > limitMs)

const staleText = ({ series, lagMs, overdueMs, dueMs }: SeriesStatus): string =>
  lagMs === null
    ? `stale: ${series} was never asked for`
    : `stale: ${series} is ${duration(lagMs)} behind ${time(dueMs)}, its next bar due for ${duration(overdueMs!)}`

function statusText(series: readonly SeriesStatus[]): string {
  const columns = [
    ...['series', 'first', 'last', right('bars'), right('coverage'), right('open gaps')],
    ...[right('lag'), 'behind'],
  ]
  const rows = series.map((one) => [
    one.series,
    time(one.firstMs),
    time(one.lastMs),
    number(one.bars),
    percent(one.coverage),
    number(openBars(one.missing)),
    one.lagMs === null ? '-' : one.lagMs === 0 ? '0' : duration(one.lagMs),
    Object.entries(one.behind)
      .filter(([, slices]) => slices > 0)
      .map(([store, slices]) => `${store} ${number(slices)}`)
      .join(', ') || '-',
  ])
  return table(columns, rows)
}
