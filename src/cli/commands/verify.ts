import type { Command } from 'commander'
import type { Fault, VerifyReport } from '../../app/api.ts'
import { exitCodes } from '../exit-code.ts'
import { counted, countsText, number, printable, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command)
    .option('--deep', 'decode every answer again and compare bar for bar, not hashes alone')
    .action(
      run(async (cli, operands: readonly string[], options: Options) => {
        const selection = await readSelectionIfAny(cli, operands, options)
        const { verify } = await import('../../app/commands.ts')
        const report = await verify(await cli.app(), selection, { deep: options.deep === true })
        return { data: report, text: verifyText(report), exitCode: exitCodeOf(report) }
      }),
    )
}

interface Options extends SelectionOptions {
  readonly deep?: boolean
}

export function exitCodeOf({ faultCount, complete }: VerifyReport): number {
  if (faultCount > 0) return exitCodes.corrupt
  return complete ? exitCodes.complete : exitCodes.incomplete
}

export function verifyText(report: VerifyReport): string {
  const columns = ['series', 'from', 'to', right('expected'), right('present'), 'missing', 'complete']
  const rows = report.series.map((one) => [
    one.series,
    time(one.range.startMs),
    time(one.range.endMs),
    number(one.expected),
    number(one.present),
    countsText(one.missing),
    one.unsettled > 0 ? `no, ${number(one.unsettled)} to settle` : one.complete ? 'yes' : 'no',
  ])
  const checked = `${counted(report.slicesChecked, 'slice')}, ${counted(report.filesChecked, 'file')}, ${counted(report.barsChecked, 'bar')} checked`
  const incomplete = report.series.filter(({ complete }) => !complete).length
  const verdict =
    report.faultCount > 0
      ? `not intact: ${counted(report.faultCount, 'fault')}`
      : report.complete
        ? 'complete'
        : `not complete: ${incomplete} of ${report.series.length} series`
  const faults = report.faults.map(faultText)
  return [
    table(columns, rows),
    ...(faults.length > 0 ? ['', ...faults] : []),
    '',
    `${verdict}; ${checked}`,
  ].join('\n')
}

function faultText({ kind, series, path, openTimeMs, detail, hint }: Fault): string {
  const where = [series, path, openTimeMs === undefined ? undefined : time(openTimeMs)]
    .filter(Boolean)
    .join(' ')
  return `${printable(`fault[${kind}] ${where}: ${detail}`)}\nhint: ${printable(hint)}`
}
