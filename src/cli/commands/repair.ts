import type { Command } from 'commander'
import type { RepairReport } from '../../app/api.ts'
import { counted, number, time } from '../format.ts'
import { noteProblems } from '../problems.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'
import { exitCodeOf, verifyText } from './verify.ts'

interface Options extends SelectionOptions {
  readonly dryRun?: boolean
}

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads')
    .option('--dry-run', 'say what would be fetched, settled again and moved; touch nothing')
    .action(
      run(async (cli, operands: readonly string[], options: Options) => {
        const selection = await readSelectionIfAny(cli, operands, options)
        const { repair } = await import('../../app/commands.ts')
        const report = await repair(await cli.app(), selection, { dryRun: options.dryRun === true })
        cli.finish()
        noteProblems(cli, report.problems)
        const { proof } = report
        return { data: report, text: repairText(report), exitCode: exitCodeOf(proof), report: true }
      }),
    )
}

function repairText(report: RepairReport): string {
  const { dryRun, series, setAside, rebuildsLedger, requests, weight, faultCount, proof } = report
  if (faultCount === 0 && series.length === 0) return `nothing to repair\n\n${verifyText(proof)}`
  const columns = ['series', right('requests'), right('weight'), right('records'), 'months', right('lost')]
  const rows = series.map((one) => [
    one.series,
    ...[one.requests, one.weight, one.records].map(number),
    one.months.map(({ startMs, endMs }) => `${month(startMs)}…${month(endMs - 1)}`).join(' ') || '-',
    number(one.lost.length),
  ])
  const would = dryRun ? 'would be ' : ''
  const lines = [
    ...(rebuildsLedger ? [`the ledger ${would}made again from the archive`] : []),
    ...setAside.map((path) => `${path} ${would}moved to .everybar/quarantine/`),
    ...series.flatMap(({ lost }) =>
      lost.map((path) => `${path} is gone for good: ${dryRun ? 'to be ' : ''}noted`),
    ),
  ]
  const work = `${counted(requests, 'request')}, weight ${number(weight)}`
  const head = `${counted(faultCount, 'fault')}; ${dryRun ? 'repair would ask for' : 'asked for'} ${work}`
  return [
    table(columns, rows),
    ...(lines.length > 0 ? ['', ...lines] : []),
    '',
    head,
    ...(dryRun ? [] : ['', verifyText(proof)]),
  ].join('\n')
}

const month = (ms: number): string => time(ms).slice(0, 7)
