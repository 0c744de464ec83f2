import type { Command } from 'commander'
import type { RebuildReport } from '../../app/api.ts'
import { EverybarError } from '../../model/errors.ts'
import { exitCodeOfProblems, exitCodes } from '../../model/exit-code.ts'
import { counted, number } from '../format.ts'
import { noteProblems } from '../problems.ts'
import type { Runner } from '../program.ts'
import { right, table } from '../table.ts'

interface Options {
  readonly ledger?: boolean
  readonly lake?: boolean
  readonly store?: string
}

export function define(command: Command, run: Runner): void {
  command
    .option('--ledger', 'make the ledger again from the archive')
    .option('--lake', 'make the lake again from the archive')
    .option('--store <name>', 'make this store again: parquet, postgres, bigquery')
    .action(
      run(async (cli, options: Options) => {
        if (!options.ledger && !options.lake && options.store === undefined) throw nothingNamed()
        const { rebuild } = await import('../../app/commands.ts')
        const report = await rebuild(await cli.app(), options)
        cli.finish()
        noteProblems(cli, report.problems)
        const { problems } = report
        const exitCode = problems.length === 0 ? exitCodes.complete : exitCodeOfProblems(problems)
        return { data: report, text: rebuildText(report), exitCode, report: true }
      }),
    )
}

const nothingNamed = (): EverybarError =>
  new EverybarError('cli.usage', 'what is to be made again was not said', {
    recovery: 'abort',
    hint: 'Name --ledger, --lake or --store NAME; several may be named.',
  })

function rebuildText({ ledger, stores, series, setAside }: RebuildReport): string {
  const rows = series.map((one) => [one.series, number(one.slices), number(one.months)])
  const made = [...(ledger ? ['the ledger'] : []), ...stores].join(' and ')
  const aside = setAside.map((path) => `${path} moved to .everybar/quarantine/`)
  return [
    table(['series', right('slices'), right('months')], rows),
    '',
    ...aside,
    `made again from the archive: ${made}; ${counted(series.length, 'series')}`,
  ].join('\n')
}
