import type { Command } from 'commander'
import type { InstrumentsReport } from '../../app/kite-instruments.ts'
import { EverybarError } from '../../model/errors.ts'
import { exitCodeOfProblems, exitCodes } from '../../model/exit-code.ts'
import { isDay } from '../../model/when.ts'
import { counted, number } from '../format.ts'
import { noteProblems } from '../problems.ts'
import type { Runner } from '../program.ts'
import { csv, right, table } from '../table.ts'

interface ListFlags {
  readonly type?: readonly string[]
  readonly exchange?: readonly string[]
  readonly segment?: readonly string[]
  readonly symbol?: readonly string[]
  readonly expiryFrom?: string
  readonly expiryTo?: string
  readonly expired?: boolean
  readonly all?: boolean
  readonly csv?: boolean
  readonly limit?: string
}

const words = (value: string, all: string[] = []): string[] => [
  ...all,
  ...value
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean),
]

export function define(command: Command, run: Runner): void {
  command
    .command('sync')
    .description('take in a venue’s list of instruments: kite')
    .argument('<venue>', 'kite')
    .option('--exchange <names>', 'these only: NSE,BSE; repeatable', words)
    .option('--accept', 'take in a list that is much shorter than the one before')
    .action(
      run(async (cli, venue: string, flags: { exchange?: string[]; accept?: boolean }) => {
        refuseOther(venue)
        const { syncInstruments } = await import('../../app/kite-instruments.ts')
        const report = await syncInstruments(await cli.app(), {
          ...(flags.exchange && { exchanges: flags.exchange }),
          ...(flags.accept && { accept: true }),
        })
        noteProblems(cli, report.problems)
        const exitCode = report.problems.length > 0 ? exitCodeOfProblems(report.problems) : exitCodes.complete
        return { data: report, text: syncText(report), exitCode, report: true }
      }),
    )
  command
    .command('list')
    .description('print the instruments that were taken in')
    .argument('<venue>', 'kite')
    .option('--type <names>', 'EQ, FUT, CE, PE; repeatable', words)
    .option('--exchange <names>', 'NSE,BSE; repeatable', words)
    .option('--segment <names>', 'NSE, INDICES, NFO-FUT …; repeatable', words)
    .option('--symbol <patterns>', 'RELIANCE, NIFTY*; repeatable', words)
    .option('--expiry-from <day>', 'expiring this day or later: 2026-01-01')
    .option('--expiry-to <day>', 'expiring this day or earlier')
    .option('--expired', 'those that left the list')
    .option('--all', 'those too')
    .option('--limit <count>', 'the first so many')
    .option('--csv', 'comma-separated, for other programs')
    .action(
      run(async (cli, venue: string, flags: ListFlags) => {
        refuseOther(venue)
        const { listInstruments } = await import('../../app/kite-instruments.ts')
        const found = await listInstruments(await cli.app(), filterOf(venue, flags))
        if (found.length === 0)
          cli.note(
            'nothing fits; "everybar instruments sync kite" takes in the list of today, --all shows what has left it',
          )
        const shown = flags.limit === undefined ? found : found.slice(0, limitOf(flags.limit))
        const rows = shown.map((one) => [
          ...[one.token, one.exchange, one.seriesSymbol, one.type, one.segment, one.expiry ?? ''],
          ...[String(one.lotSize), one.name, one.goneMs === null ? '' : 'expired'],
        ])
        const headings = ['token', 'exchange', 'symbol', 'type', 'segment', 'expiry', 'lot', 'name', 'state']
        if (flags.csv) return { data: shown, text: csv(headings, rows) }
        const columns = headings.map((heading) => (heading === 'lot' ? right(heading) : heading))
        return { data: shown, text: `${table(columns, rows)}\n\n${counted(found.length, 'instrument')}` }
      }),
    )
}

function filterOf(venue: string, flags: ListFlags) {
  const { type, exchange, segment, symbol, expiryFrom, expiryTo } = flags
  for (const [name, day] of Object.entries({ '--expiry-from': expiryFrom, '--expiry-to': expiryTo })) {
    if (day === undefined || isDay(day)) continue
    throw new EverybarError('cli.bad-time', `${name} "${day}" is not a day`, {
      recovery: 'abort',
      hint: 'Write it as 2026-01-01.',
      path: name,
    })
  }
  if (expiryFrom !== undefined && expiryTo !== undefined && expiryFrom > expiryTo) {
    throw new EverybarError(
      'cli.range-reversed',
      `--expiry-from ${expiryFrom} is after --expiry-to ${expiryTo}`,
      {
        recovery: 'abort',
        hint: 'Both days belong to the range: swap them.',
        path: '--expiry-to',
      },
    )
  }
  return {
    venue,
    ...(type && { types: type }),
    ...(exchange && { exchanges: exchange }),
    ...(segment && { segments: segment }),
    ...(symbol && { symbols: symbol }),
    ...(expiryFrom !== undefined && { expiryFrom }),
    ...(expiryTo !== undefined && { expiryTo }),
    ...(flags.expired ? { gone: 'only' as const } : flags.all ? { gone: 'also' as const } : {}),
  }
}

function limitOf(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new EverybarError('cli.usage', `--limit "${text}" is no count`, {
    recovery: 'abort',
    hint: 'Give a whole number of 1 or more.',
    path: '--limit',
  })
}

function refuseOther(venue: string): void {
  if (venue === 'kite') return
  throw new EverybarError('cli.usage', `${venue} has no list of instruments here`, {
    recovery: 'abort',
    hint: 'Only kite has one. Symbols of other venues are matched by * in selectors: binance:spot:*USDT:1d.',
  })
}

function syncText(report: InstrumentsReport): string {
  const { listed, added, changed, returned, expired, badLines, badLine, stored } = report
  const lines = [
    `${number(listed)} listed on ${report.exchanges.join(', ')}: ${number(added)} new, ${number(changed)} changed, ${number(returned)} back, ${number(expired)} expired`,
    ...report.newOwners.map(({ token, from, to }) => `token ${token} passed from ${from} to ${to}`),
    ...report.newTokens.map(
      ({ exchange, symbol, from, to }) =>
        `${exchange} ${symbol} has token ${to}, and had ${from}: a series of its own`,
    ),
    ...(badLines > 0 ? [`${counted(badLines, 'line')} could not be read, the first: ${badLine}`] : []),
    ...(stored === null ? [] : [`${number(stored)} rows new or changed in kite_instruments`]),
  ]
  return lines.join('\n')
}
