import type { Command } from 'commander'
import type { ServiceReport } from '../../app/service.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { duration, number, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { openSelectionOptions, readSelectionIfAny, type SelectionOptions } from '../selection.ts'
import { readServeOptions, type ServeOptions, serveOptions } from '../serve-options.ts'
import { serving } from '../serving.ts'
import { right, table } from '../table.ts'
import { liveText } from './live.ts'

const help = `
Does what live does, looks for gaps every hour and fills them (serve.completeness_seconds), runs the jobs of the
configuration, and answers HTTP: /livez, /readyz, /metrics, and /api/v1/status, gaps, bars and events.

Its log is JSON lines on stdout, unless that is a terminal. Ctrl-C or SIGTERM ends it after a clean checkpoint: exit 0
when every series was level and no job had failed, else 130 or 143. A second signal stops it at once, and loses nothing.`

export function define(command: Command, run: Runner): void {
  serveOptions(openSelectionOptions(command))
    .addHelpText('after', help)
    .action(
      run(async (cli, operands: readonly string[], options: SelectionOptions & ServeOptions) => {
        readServeOptions(cli, options)
        const report = await serving(cli, await readSelectionIfAny(cli, operands, options), 'all')
        return {
          data: report,
          text: cli.logsToStdout ? '' : serveText(report),
          exitCode: report.level ? exitCodes.complete : exitCodes.incomplete,
          report: true,
        }
      }),
    )
}

function serveText({ durationMs, live, completeness, jobs }: ServiceReport): string {
  const rows = jobs.map((job) => [
    job.name,
    job.run,
    time(job.lastEndedAtMs),
    job.lastExitCode === null ? '-' : String(job.lastExitCode),
    number(job.missed),
  ])
  return [
    ...(live ? [liveText(live), ''] : []),
    ...(jobs.length > 0
      ? [table(['job', 'runs', 'last ended', right('exit'), right('missed')], rows), '']
      : []),
    `served for ${duration(durationMs)}, ${number(completeness?.passes ?? 0)} passes for gaps`,
  ].join('\n')
}
