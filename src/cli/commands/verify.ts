import type { Command } from 'commander'
import type { AgainstReport, Fault, VerifyReport } from '../../app/api.ts'
import { EverybarError } from '../../model/errors.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { printable } from '../../model/text.ts'
import type { Cli } from '../cli.ts'
import { counted, countsText, number, time } from '../format.ts'
import type { Outcome } from '../output.ts'
import type { Runner } from '../program.ts'
import { readSelectionIfAny, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  selectionOptions(command, 'reads')
    .option('--deep', 'decode every answer again and compare bar for bar, not hashes alone')
    .option('--certificate <file>', 'write what was proved as JSON; nothing where there is a fault')
    .option(
      '--against <file>',
      'compare with a certificate instead; several that adjoin are taken as one',
      (value, all: string[] = []) => [...all, value],
    )
    .action(
      run(async (cli, operands: readonly string[], options: Options) => {
        if (options.against) return against(cli, operands, options)
        const selection = await readSelectionIfAny(cli, operands, options)
        const { certify, verify } = await import('../../app/commands.ts')
        const deep = options.deep === true
        const { certificate: file } = options
        const report = file
          ? await certify(await cli.app(), selection, { deep, file })
          : await verify(await cli.app(), selection, { deep })
        const note = file ? `\n${certificateNote(file, report)}` : ''
        return { data: report, text: verifyText(report) + note, exitCode: exitCodeOf(report) }
      }),
    )
}

interface Options extends SelectionOptions {
  readonly deep?: boolean
  readonly certificate?: string
  readonly against?: readonly string[]
}

const certificateNote = (file: string, { faultCount }: VerifyReport): string =>
  faultCount > 0 ? 'no certificate was written' : `certified in ${file}`

/** What is compared is what the certificates name: series and ranges given beside them would only confuse. */
async function against(cli: Cli, operands: readonly string[], options: Options): Promise<Outcome> {
  const { series, seriesFile, from, to, deep } = options
  if (operands.length > 0 || series || seriesFile || from || to || deep) {
    throw new EverybarError('cli.usage', '--against names series and range by itself', {
      recovery: 'abort',
      hint: 'Leave series, range and --deep away.',
    })
  }
  const { verifyAgainst } = await import('../../app/commands.ts')
  const { against: files = [], certificate: file } = options
  const report = await verifyAgainst(await cli.app(), { against: files, ...(file && { file }) })
  return { data: report, text: againstText(report), exitCode: exitCodeOf(report) }
}

function againstText(report: AgainstReport): string {
  const columns = [
    'series',
    'from',
    'to',
    right('bars'),
    right('slices'),
    right('superseded'),
    right('files'),
    right('rewritten'),
  ]
  const rows = report.series.map((one) => [
    one.series,
    time(one.range.startMs),
    time(one.range.endMs),
    ...[one.bars, one.slices, one.superseded, one.files, one.rewritten].map(number),
  ])
  const made = report.certificates.map(({ file, madeAt, everybar, digest }) => {
    return `${file}: made ${madeAt} by everybar ${everybar}, digest ${digest}`
  })
  const complete = report.complete ? 'as certified' : 'as certified, which was not complete'
  const verdict =
    report.faultCount > 0 ? `not as certified: ${counted(report.faultCount, 'fault')}` : complete
  const faults = report.faults.map(faultText)
  const parts = [
    table(columns, rows),
    '',
    ...made,
    ...(faults.length > 0 ? ['', ...faults] : []),
    '',
    verdict,
  ]
  return parts.join('\n')
}

export function exitCodeOf({ faultCount, complete }: Pick<VerifyReport, 'faultCount' | 'complete'>): number {
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
