import { Command, type CommanderError, Option } from 'commander'
import { packageVersion } from '../app/version.ts'
import { EverybarError } from '../model/errors.ts'
import { catalog } from './catalog.ts'
import type { Cli } from './cli.ts'
import type { Outcome, Streams } from './output.ts'

/** Wraps a command's body as a commander action: the body gets the `Cli`, the operands, then the command's options. */
export type Runner = <A extends unknown[]>(
  body: (cli: Cli, ...args: A) => Promise<Outcome>,
) => (...args: [...A, Command]) => Promise<void>

/**
 * The command line. Every command is named, so that help and suggestions know it; only the one that `argv` asks for is
 * loaded.
 */
export async function buildProgram(
  argv: readonly string[],
  run: Runner,
  { out, err }: Streams,
): Promise<Command> {
  const program = new Command('everybar')
    .description('every bar, exactly once, provably complete')
    .version(packageVersion(), '-V, --version')
    .option('--root <folder>', 'folder of everything everybar keeps (default: ~/everybar_data)')
    .option('--config <file>', 'configuration (default: ./everybar.yaml, where there is one)')
    .option('--json', 'print one JSON envelope {ok, code, data | error, runId}')
    .option('-q, --quiet', 'no progress, no hints, no report')
    .addOption(
      new Option('-v, --verbose', 'log JSON lines to stderr; -vv also debug and stack traces')
        .default(0, '')
        .argParser(more),
    )
    .option('--no-progress', 'no progress')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ writeOut: out, writeErr: err, outputError: () => {} })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText('after', examples)
  const wanted = commandIn(argv, program)
  for (const { name, summary, load } of catalog) {
    const command = program.command(name).description(summary)
    if (name === wanted) (await load()).define(command, run)
  }
  return program
}

// An option without a value calls this with the value it had.
const more = (_: unknown, level: number): number => level + 1

const examples = `
Examples:
  everybar init
  everybar plan binance:spot:BTCUSDT:1m --from 2017-08 --to 2018-03
  everybar sync binance:spot:BTCUSDT:1m --from 2017-08 --to 2018-03 --root ./data
  everybar query "SELECT symbol, count(*) FROM bars GROUP BY symbol" --root ./data

Exit codes: 0 complete, 1 failed, 2 usage or configuration, 3 not complete, 4 corruption, 5 temporary,
10 no such root, 11 root locked, 12 login expired, 130/143 stopped after a clean checkpoint.`

/** The first word that is neither an option nor the value of one; after `help` the next. */
function commandIn(argv: readonly string[], program: Command): string | undefined {
  const takesValue = new Set(program.options.filter(({ required }) => required).map(({ long }) => long))
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (takesValue.has(word)) i++
    else if (!word.startsWith('-') && word !== 'help') return word
  }
  return undefined
}

/**
 * A usage error in everybar's words; `undefined` for help and version, which are no errors.
 */
export function usageError(error: CommanderError, argv: readonly string[]): EverybarError | undefined {
  if (error.exitCode === 0) return undefined
  const message = error.code === 'commander.help' ? 'no command was named' : error.message
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n')
  const meant = /Did you mean (?:one of )?(.*)\?/.exec(more.join(' '))?.[1]
  const command = catalog.find(({ name }) => argv.includes(name))?.name
  return new EverybarError('cli.usage', first, {
    recovery: 'abort',
    hint: meant ? `did you mean ${meant}?` : `See everybar ${command ? `${command} ` : ''}--help.`,
  })
}
