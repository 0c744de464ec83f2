import { type Command, InvalidArgumentError, Option } from 'commander'
import { EverybarError } from '../../model/errors.ts'
import { readWhen, whenHint } from '../../model/when.ts'
import type { Runner } from '../program.ts'

interface SimulateFlags {
  readonly replay?: string
  readonly synthetic?: boolean
  readonly kite?: boolean
  readonly seed?: number
  readonly symbols?: string
  readonly from?: number
  readonly to?: number
  readonly outage?: readonly string[]
  readonly port?: number
  readonly rtt?: number
  readonly weightLimit?: number | 'none'
  readonly window?: number
  readonly now?: number
  readonly fault?: readonly string[]
  readonly faults?: readonly string[]
}

export function define(command: Command, run: Runner): void {
  command
    .addOption(
      new Option('--replay <folder>', 'serve the bars of a folder in the bulk archive’s layout').conflicts(
        'synthetic',
      ),
    )
    .option('--synthetic', 'serve a seeded random walk (default)')
    .option('--kite', 'serve a Kite instead: --symbols is how many shares, or a list of their names')
    .option('--seed <number>', 'of the random walk', whole(0))
    .option('--symbols <list>', 'of the random walk: BTCUSDT,ETHUSDT')
    .option('--from <time>', 'when the random walk’s symbols were listed', instant('--from'))
    .option('--to <time>', 'where the random walk’s present begins', instant('--to'))
    .option('--outage <from/to>', 'trading is suspended: no bar opens; repeatable', repeated)
    .option('--port <number>', 'on 127.0.0.1 (default: a free one)', whole(0, 65_535))
    .option('--rtt <ms>', 'wait before each answer', duration)
    .option('--weight-limit <weight>', 'per window, as the venue does; none for no limit', weight)
    .option('--window <duration>', 'length of the rate limit’s window: 6s, 1m or milliseconds', duration)
    .option('--now <time>', 'the venue’s clock at the start: 2018-03-01T00:00Z', instant('--now'))
    .option('--fault <spec>', 'a fault to show: html@3, 429@11, empty@9..; repeatable', repeated)
    .addOption(new Option('--faults <specs>', 'the same, several by comma').hideHelp().argParser(repeated))
    .action(
      run(async (cli, flags: SimulateFlags) => {
        const { simulate, simulateKite } = await import('../../app/commands.ts')
        const { synthetic: _, kite, fault = [], faults = [], ...given } = flags
        const named = {
          ...pick(given, ['replay', 'seed', 'symbols', 'port', 'weightLimit']),
          ...rename(given, {
            rtt: 'rttMs',
            window: 'windowMs',
            now: 'nowMs',
            from: 'fromMs',
            to: 'toMs',
            outage: 'outages',
          }),
          ...([...fault, ...faults].length > 0 && { faults: [...fault, ...faults] }),
        }
        const server = await (kite ? simulateKite : simulate)(await cli.app(), named)
        const outcome = { data: { url: server.url }, text: server.url }
        cli.emit(outcome)
        if (!cli.verbosity.json && !cli.verbosity.quiet) for (const line of server.lines) cli.note(line)
        await server.closed
        return outcome
      }),
    )
}

const repeated = (value: string, all: string[] = []): string[] => [...all, value]

function pick<T extends object, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  return Object.fromEntries(
    names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]),
  ) as Pick<T, K>
}

function rename(from: object, names: Readonly<Record<string, string>>): object {
  return Object.fromEntries(
    Object.entries(from).flatMap(([name, value]) =>
      value !== undefined && names[name] ? [[names[name], value]] : [],
    ),
  )
}

function weight(text: string): number | 'none' {
  return text === 'none' ? 'none' : whole(1)(text)
}

/** `6s`, `1m`, `250ms` or a bare number of milliseconds. */
function duration(text: string): number {
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text)
  if (!match) throw new InvalidArgumentError('It has to be a duration: 250, 250ms, 6s or 1m.')
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] ?? 'ms']!
}

function whole(min: number, max = 1_000_000_000): (text: string) => number {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It has to be a whole number from ${min} to ${max}.`)
  }
}

function instant(flag: string): (text: string) => number {
  return (text) => {
    const when = readWhen(text)
    if (when?.kind === 'at') return when.ms
    throw new EverybarError('cli.bad-time', `${flag} "${text}" is not a point in time`, {
      recovery: 'abort',
      hint: whenHint,
      path: flag,
    })
  }
}
