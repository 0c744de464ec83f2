import type { Command } from 'commander'
import { isLevel, type LiveReport } from '../../app/live-state.ts'
import { exitCodes } from '../../model/exit-code.ts'
import type { Cli } from '../cli.ts'
import { counted, duration, number, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { openSelectionOptions, readSelection, type SelectionOptions } from '../selection.ts'
import { readServeOptions, type ServeOptions, serveOptions } from '../serve-options.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  serveOptions(openSelectionOptions(command))
    .addHelpText(
      'after',
      `
Brings each series level, then asks for its newest bars whenever one is final by the venue's clock, until stopped.
A series that was asked for before goes on from there; a new one starts at --from, else at its last closed bar.
Its log is JSON lines on stdout, unless that is a terminal. Ctrl-C or SIGTERM ends it after a clean checkpoint: exit 0
when every series was level, else 130 or 143. A second signal stops it at once, and loses nothing.`,
    )
    .option('--http', 'answer HTTP too: health, metrics, bars (or serve.enabled in the configuration)')
    .action(
      run(async (cli, operands: readonly string[], options: LiveOptions) => {
        readServeOptions(cli, options)
        const report = await follow(cli, operands, options)
        return {
          data: report,
          text: cli.logsToStdout ? '' : liveText(report),
          exitCode: isLevel(report.state) ? exitCodes.complete : exitCodes.incomplete,
          runId: report.runId,
          report: true,
        }
      }),
    )
}

interface LiveOptions extends SelectionOptions, ServeOptions {
  readonly http?: boolean
}

async function follow(cli: Cli, operands: readonly string[], options: LiveOptions): Promise<LiveReport> {
  const selection = await readSelection(cli, operands, options)
  if (options.http || (await cli.config()).config.serve.enabled) {
    const { serving } = await import('../serving.ts')
    return (await serving(cli, selection, 'live')).live!
  }
  const { live } = await import('../../app/commands.ts')
  const { tellingErrors } = await import('../live-errors.ts')
  const report = await live(tellingErrors(cli, await cli.app()), selection)
  cli.finish()
  return report
}

/** How each series stood when it was stopped. */
export function liveText({ cycles, bars, durationMs, state, runId }: LiveReport): string {
  const rows = state.series.map(({ series, doneMs, lagMs, behind, lastError }) => [
    series,
    time(doneMs),
    lagMs === null ? '-' : duration(lagMs),
    behind.join(', ') || '-',
    lastError ? lastError.code : '-',
  ])
  const work = `${counted(cycles, 'cycle')}, ${number(bars)} new bars in ${duration(durationMs)}, run ${runId}`
  return [
    table(['series', 'complete up to', right('lag'), 'stores behind', 'last error'], rows),
    '',
    `stopped; ${work}`,
  ].join('\n')
}
