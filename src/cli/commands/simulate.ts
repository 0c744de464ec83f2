import { type Command, InvalidArgumentError, Option } from 'commander'
import { EverybarError } from '../../model/errors.ts'
import { readWhen, whenHint } from '../../model/when.ts'
import type { Runner } from '../program.ts'

interface SimulateFlags {
  readonly replay?: string
  readonly synthetic?: boolean
  readonly seed?: number
  readonly port?: number
  readonly rtt?: number
  readonly weightLimit?: number
  readonly window?: number
  readonly now?: number
  readonly fault?: readonly string[]
}

export function define(command: Command, run: Runner): void {
  command
    .addOption(
      new Option('--replay <folder>', 'serve the bars of a folder in the bulk archive’s layout').conflicts(
        'synthetic',
      ),
    )
    .option('--synthetic', 'serve a seeded random walk (default)')
    .option('--seed <number>', 'of the random walk', whole(0))
    .option('--port <number>', 'on 127.0.0.1 (default: a free one)', whole(0, 65_535))
    .option('--rtt <ms>', 'wait before each answer', whole(0))
    .option('--weight-limit <weight>', 'per window, as the venue does', whole(1))
    .option('--window <ms>', 'length of the rate limit’s window', whole(1))
    .option('--now <time>', 'the venue’s clock at the start: 2018-03-01T00:00Z', instant)
    .option('--fault <name>', 'a fault to show; repeatable', (name, all: string[] = []) => [...all, name])
    .action(
      run(async (cli, flags: SimulateFlags) => {
        const { simulate } = await import('../../app/commands.ts')
        const { replay, seed, port, rtt, weightLimit, window, now, fault } = flags
        const server = await simulate(await cli.app(), {
          ...(replay !== undefined && { replay }),
          ...(seed !== undefined && { seed }),
          ...(port !== undefined && { port }),
          ...(rtt !== undefined && { rttMs: rtt }),
          ...(weightLimit !== undefined && { weightLimit }),
          ...(window !== undefined && { windowMs: window }),
          ...(now !== undefined && { nowMs: now }),
          ...(fault !== undefined && { faults: fault }),
        })
        const outcome = { data: { url: server.url }, text: server.url }
        cli.emit(outcome)
        if (!cli.verbosity.json && !cli.verbosity.quiet) {
          cli.note(
            `use it: EVERYBAR__SOURCES__BINANCE__BASE_URL=${server.url} everybar sync …; Ctrl-C stops it`,
          )
        }
        await server.closed
        return outcome
      }),
    )
}

function whole(min: number, max = 1_000_000_000): (text: string) => number {
  return (text) => {
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`It has to be a whole number from ${min} to ${max}.`)
  }
}

function instant(text: string): number {
  const when = readWhen(text)
  if (when?.kind === 'at') return when.ms
  throw new EverybarError('cli.bad-time', `--now "${text}" is not a point in time`, {
    recovery: 'abort',
    hint: whenHint,
    path: '--now',
  })
}
