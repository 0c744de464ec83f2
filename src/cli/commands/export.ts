import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Manifest } from '../../loader/index.ts'
import { EverybarError } from '../../model/errors.ts'
import { iso } from '../../model/time.ts'
import { readWhen } from '../../model/when.ts'
import { bytes, counted, countsText, number } from '../format.ts'
import type { Runner } from '../program.ts'
import { readSelection, type SelectionOptions, selectionOptions } from '../selection.ts'
import { right, table } from '../table.ts'

interface ExportFlags extends SelectionOptions {
  readonly format: 'long' | 'gluonts' | 'future' | 'windows' | 'csv'
  readonly out?: string
  readonly locked?: string
  readonly columns?: string
  readonly features?: string
  readonly grid?: 'calendar' | 'business-days' | 'compact'
  readonly fill?: 'none' | 'nan' | 'previous' | 'linear'
  readonly fillRun?: number
  readonly monthly?: boolean
  readonly keepLeading?: boolean
  readonly allowIncomplete?: boolean
  readonly shards?: number
  readonly rowBars?: number
  readonly segments?: 'whole' | 'contiguous'
  readonly contextLength?: number
  readonly predictionLength?: number
  readonly minPast?: number
  readonly stride?: number
  readonly validationFrom?: string
  readonly testFrom?: string
  readonly embargo?: number
}

export function define(command: Command, run: Runner): void {
  exportOptions(selectionOptions(command, 'reads')).action(
    run(async (cli, operands: readonly string[], flags: ExportFlags) => {
      const out = flags.out ?? missingOut()
      const { exportAgain, exportData } = await import('../../app/commands.ts')
      const app = await cli.app()
      const manifest = flags.locked
        ? await exportAgain(app, flags.locked, out)
        : await exportData(app, {
            selection: await readSelection(cli, operands, flags),
            settings: { ...settingsOf(flags), ...(await featuresOf(flags)) },
            out,
          })
      cli.finish()
      for (const warning of manifest.warnings) cli.note(`warning: ${warning}`)
      return { data: { out, ...manifest }, text: exportText(manifest, out), report: true }
    }),
  )
}

function exportOptions(command: Command): Command {
  const choice = (flags: string, text: string, choices: readonly string[]) =>
    new Option(flags, text).choices(choices)
  return command
    .option('--out <folder>', 'where to write; an empty folder, or one an export has made')
    .addOption(
      choice('--format <format>', 'long: Parquet frames; gluonts: Arrow shards and train.yaml', [
        'long',
        'gluonts',
        'future',
        'windows',
        'csv',
      ]).default('long'),
    )
    .option('--columns <names>', 'columns of the lake, comma-separated (default: close)')
    .option(
      '--features <list>',
      'long, csv: columns made of others, as log-return,volatility:close:60,spread:high:low,mean:volume:20',
    )
    .addOption(
      choice(
        '--grid <grid>',
        'rows: every slot, weekdays (1d), or the slots of the sessions only (default: calendar)',
        ['calendar', 'business-days', 'compact'],
      ),
    )
    .addOption(
      choice('--fill <policy>', 'what stands in for missing bars (default: nan)', [
        'none',
        'nan',
        'previous',
        'linear',
      ]),
    )
    .option('--fill-run <bars>', 'longest run that is filled', whole)
    .option('--monthly', 'long only: one file a month, named as the loader reads them')
    .option('--keep-leading', 'rows without values before a series begins')
    .option('--allow-incomplete', 'export although bars are missing that may yet turn up')
    .option('--locked <file>', 'make the data set of this dataset.json again, or say what has changed')
    .optionsGroup('gluonts:')
    .option('--shards <count>', 'files the rows are dealt to (default: 1)', whole)
    .option('--row-bars <count>', 'longest row (default: 1000000)', whole)
    .addOption(
      choice('--segments <kind>', 'whole rows, or rows that end where a bar is missing', [
        'whole',
        'contiguous',
      ]),
    )
    .option('--min-past <bars>', 'shortest past of the trainer (default: 60)', whole)
    .optionsGroup('gluonts, windows, future:')
    .option('--context-length <bars>', 'bars a model sees', whole)
    .option('--prediction-length <bars>', 'bars it predicts', whole)
    .optionsGroup('windows:')
    .option('--stride <bars>', 'bars between two windows (default: 1)', whole)
    .option('--validation-from <time>', 'start of the validation part')
    .option('--test-from <time>', 'start of the test part')
    .option('--embargo <bars>', 'bars left out after the start of a part (default: 0)', whole)
}

function settingsOf(flags: ExportFlags) {
  const { format, fill, fillRun, contextLength, predictionLength } = flags
  const lengths = defined({ context_length: contextLength, prediction_length: predictionLength })
  const gluonts = {
    ...lengths,
    ...defined({
      shards: flags.shards,
      row_bars_max: flags.rowBars,
      segments: flags.segments,
      min_past: flags.minPast,
    }),
  }
  const windows = {
    ...lengths,
    ...defined({
      stride: flags.stride,
      embargo_bars: flags.embargo,
      validation_from: instant('--validation-from', flags.validationFrom),
      test_from: instant('--test-from', flags.testFrom),
    }),
  }
  return {
    format,
    require: flags.allowIncomplete ? ('any' as const) : ('complete' as const),
    leading: flags.keepLeading ? ('keep' as const) : ('trim' as const),
    layout: flags.monthly ? ('monthly' as const) : ('single' as const),
    ...(flags.columns && { columns: flags.columns.split(',').map((name) => name.trim()) }),
    ...(flags.grid && { grid: flags.grid }),
    ...((fill || fillRun) && { fill: { policy: fill ?? 'nan', ...defined({ run_max: fillRun }) } }),
    ...(format === 'gluonts' && { gluonts }),
    // What is not given is named by the check of the whole definition, with everything else.
    ...(format === 'windows' && {
      windows: windows as { context_length: number; prediction_length: number },
    }),
    ...(format === 'future' && { future: lengths as { prediction_length: number } }),
  }
}

/** Reads what loads the loader, so that other calls of the command line need not. */
async function featuresOf({ features }: ExportFlags) {
  if (features === undefined) return {}
  const { parseFeature } = await import('../../loader/index.ts')
  return { features: features.split(',').map(parseFeature) }
}

type Defined<T> = { [key in keyof T]?: Exclude<T[key], undefined> }
const defined = <T extends Record<string, unknown>>(values: T): Defined<T> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<T>

function whole(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value
  throw new InvalidArgumentError('not a whole number')
}

function instant(flag: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const when = readWhen(text)
  if (when?.kind === 'at') return iso(when.ms)
  throw new EverybarError('cli.bad-time', `${flag} "${text}" is not a time`, {
    recovery: 'abort',
    hint: 'Write ISO 8601 in UTC, whole or truncated: 2024, 2024-03, 2024-03-05T14:30Z.',
    path: flag,
  })
}

function missingOut(): never {
  throw new EverybarError('cli.no-out', 'no output folder was named', {
    recovery: 'abort',
    hint: 'Name an empty folder: --out ./dataset.',
    path: '--out',
  })
}

function exportText({ id, outputs, series }: Manifest, out: string): string {
  const columns = ['series', 'first', 'last', right('rows'), right('missing'), 'filled', 'complete']
  const rows = series.map((one) => [
    one.item_id,
    one.first ?? '-',
    one.last ?? '-',
    number(one.rows),
    number(one.missing),
    countsText(one.filled),
    one.complete ? 'yes' : 'no',
  ])
  const size = outputs.reduce((sum, file) => sum + file.bytes, 0)
  return `${table(columns, rows)}\n\n${counted(outputs.length, 'file')}, ${bytes(size)} in ${out}; data set ${id}`
}
