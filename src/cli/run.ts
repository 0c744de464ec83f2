import type { Command, CommanderError } from 'commander'
import { EverybarError } from '../model/errors.ts'
import { exitCodes } from '../model/exit-code.ts'
import { type Cli, type GlobalFlags, makeCli, type Surroundings } from './cli.ts'
import { type Outcome, type Verbosity, writeError, writeOutcome } from './output.ts'
import { buildProgram, type Runner, usageError } from './program.ts'
import { listenForStop, type Stop } from './signals.ts'

const NODE_NEEDED = 24

/** Runs one command line and gives its exit code. Never throws. */
export async function runCommandLine(argv: readonly string[], at: Surroundings): Promise<number> {
  const session: Session = {
    at,
    verbosity: verbosityOf({ json: argv.includes('--json') }, at),
    exitCode: exitCodes.complete,
    stop: undefined,
  }
  const run: Runner =
    <A extends unknown[]>(body: (cli: Cli, ...args: A) => Promise<Outcome>) =>
    (...all: [...A, Command]) => {
      const command = all.at(-1) as Command
      return runBody(session, command, (cli) => body(cli, ...(all.slice(0, -1) as A)))
    }
  try {
    const program = await buildProgram(argv, run, at.streams)
    await program.parseAsync(argv, { from: 'user' })
    return session.exitCode
  } catch (error) {
    return await failed(error, argv, session)
  } finally {
    session.stop?.dispose()
  }
}

/** One command line's run: how it speaks, how it ends, and who may stop it. */
interface Session {
  readonly at: Surroundings
  verbosity: Verbosity
  exitCode: number
  stop: Stop | undefined
}

async function runBody(
  session: Session,
  command: Command,
  body: (cli: Cli) => Promise<Outcome>,
): Promise<void> {
  const flags: GlobalFlags = command.optsWithGlobals()
  const { at } = session
  const verbosity = verbosityOf(flags, at)
  session.verbosity = verbosity
  requireNode()
  await at.onCommand?.()
  let emitted = false
  const emit = (outcome: Outcome) => {
    emitted = true
    session.exitCode = writeOutcome(outcome, at.streams, verbosity)
  }
  const stop = listenForStop((signal) => {
    if (!verbosity.quiet) cli.note(`${signal}: finishing what is in flight; once more stops at once`)
  })
  session.stop = stop
  const cli = makeCli({ command: command.name(), flags, verbosity, at, stop, emit })
  try {
    const outcome = await body(cli)
    cli.finish()
    const code = outcome.exitCode ?? exitCodes.complete
    // Stopped, and something left to do: the signal is why. Stopped when all was done already: done.
    const exitCode = code === exitCodes.complete ? code : (stop.exitCode() ?? code)
    if (emitted) session.exitCode = exitCode
    else emit({ ...outcome, exitCode })
  } catch (error) {
    cli.failed(error)
    throw error
  } finally {
    cli.finish()
    await cli.close()
  }
}

async function failed(
  error: unknown,
  argv: readonly string[],
  { at, verbosity, stop }: Session,
): Promise<number> {
  const shown = isCommanderError(error) ? usageError(error, argv) : error
  if (shown === undefined) return exitCodes.complete
  // Without a command commander has printed the help already, to stderr.
  if (isCommanderError(error) && error.code === 'commander.help' && !verbosity.json) return exitCodes.usage
  const { redactText } = await import('../telemetry/redact.ts')
  return writeError(shown, at.streams, verbosity, { exitCode: stop?.exitCode(), redact: redactText })
}

const isCommanderError = (error: unknown): error is CommanderError =>
  error instanceof Error && error.name === 'CommanderError'

/** How a command line that was given `flags` speaks. */
export function verbosityOf(flags: GlobalFlags, { env, errIsTerminal }: Surroundings): Verbosity {
  const { NO_COLOR, FORCE_COLOR, TERM } = env
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0'
  const color = forced || (!NO_COLOR && FORCE_COLOR !== '0' && TERM !== 'dumb' && errIsTerminal)
  return { json: flags.json === true, quiet: flags.quiet === true, verbose: flags.verbose ?? 0, color }
}

function requireNode(): void {
  if (Number.parseInt(process.versions.node, 10) >= NODE_NEEDED) return
  throw new EverybarError(
    'cli.node-too-old',
    `everybar needs Node ${NODE_NEEDED} or later, and this is ${process.versions.node}`,
    {
      recovery: 'abort',
      hint: `npm install node@${NODE_NEEDED} puts a Node of its own beside everybar.`,
    },
  )
}
