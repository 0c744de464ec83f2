import { homedir } from 'node:os'
import type { Progress } from '../app/api.ts'
import type { AppContext } from '../app/commands.ts'
import type { Logs } from '../app/logs.ts'
import type { FlagSetting, LoadedConfig } from '../config/load.ts'
import type { OnEvent } from '../model/events.ts'
import type { Outcome, Streams, Verbosity } from './output.ts'
import { ProgressView } from './progress.ts'
import type { Stop } from './signals.ts'

/** Options every command takes. */
export interface GlobalFlags {
  readonly root?: string
  readonly config?: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly verbose?: number
  readonly progress?: boolean
}

/** What a command line finds around it: a process's own, or a test's. */
export interface Surroundings {
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly streams: Streams
  readonly outIsTerminal: boolean
  readonly errIsTerminal: boolean
  /** Width of the terminal that shows progress. */
  readonly columns: () => number
  /** Called when a command begins; not for help. */
  readonly onCommand?: () => Promise<void>
}

/** What a command works with. Nothing is read or opened before it is asked for. */
export interface Cli {
  readonly flags: GlobalFlags
  readonly verbosity: Verbosity
  readonly streams: Streams
  /** Whether stdout is a terminal. */
  readonly terminal: boolean
  readonly config: () => Promise<LoadedConfig>
  /** Settings from flags; only what is said before the configuration is first asked for counts. */
  readonly override: (settings: readonly FlagSetting[]) => void
  /** The application's context: configuration, events to log and progress, and the signal to stop. */
  readonly app: () => Promise<AppContext>
  /** Whether stdout is the log of this command: that of a service, where nobody looks on and no envelope is asked for. */
  readonly logsToStdout: boolean
  /** Log lines that did not reach Loki. */
  readonly droppedLogLines: () => number
  /** Prints the outcome now, for a command that goes on; what it returns is then not printed again. */
  readonly emit: (outcome: Outcome) => void
  /** Writes a line to stderr, above any progress. */
  readonly note: (line: string) => void
  readonly finish: () => void
  /** Puts into the log elsewhere what ends the command; the screen is told by whoever ends it. */
  readonly failed: (error: unknown) => void
  /** Brings home what is left of the log. */
  readonly close: () => Promise<void>
}

export interface CliOptions {
  /** The command's name. */
  readonly command: string
  readonly flags: GlobalFlags
  readonly verbosity: Verbosity
  readonly at: Surroundings
  readonly stop: Stop
  readonly emit: (outcome: Outcome) => void
}

export function makeCli({ command, flags, verbosity, at, stop, emit }: CliOptions): Cli {
  const { streams, env, cwd } = at
  const drawn = at.errIsTerminal && env.TERM !== 'dumb'
  const shown = flags.progress !== false && !verbosity.quiet
  const view = new ProgressView({
    write: streams.err,
    terminal: drawn && shown,
    columns: at.columns,
    nowMs: () => Date.now(),
  })
  const note = (line: string) => view.above(line)
  const logsToStdout = services.has(command) && flags.json !== true && !at.outIsTerminal
  let logs: Logs | undefined
  const settings: FlagSetting[] = []

  const config = once(async () => {
    const { loadConfig } = await import('../config/load.ts')
    return loadConfig({
      file: flags.config,
      cwd,
      home: homedir(),
      env,
      flags: { root: flags.root, settings },
    })
  })

  return {
    flags,
    verbosity,
    streams,
    terminal: at.outIsTerminal,
    config,
    override: (more) => void settings.push(...more),
    app: once(async () => {
      const line = logsToStdout ? (text: string) => streams.out(`${text}\n`) : note
      const log = await logTo(line, verbosity, logsToStdout)
      const onEvent: OnEvent = (event) => {
        if (event.event !== 'progress') log(event)
        else if (shown && !logsToStdout) view.update(event as unknown as Progress)
      }
      const loaded = await config()
      const { configLoaded, openLogs } = await import('../app/logs.ts')
      logs = await openLogs({
        config: loaded.config,
        mode: modeOf(command),
        local: onEvent,
        service: logsToStdout,
        onTrouble: (message) => note(`warning: ${message}`),
      })
      logs.onEvent(configLoaded(loaded.config, loaded.file))
      return { config: loaded.config, onEvent: logs.onEvent, signal: stop.signal }
    }),
    logsToStdout,
    droppedLogLines: () => logs?.dropped() ?? 0,
    emit,
    note,
    finish: () => view.finish(),
    failed: (error) => logs?.failed(error),
    close: async () => logs?.close(),
  }
}

/** Commands that go on until they are stopped. */
const services: ReadonlySet<string> = new Set(['live', 'serve'])

/**
 * Without `-v` warnings for people; with it JSON lines of what happens, with `-vv` of everything. A service says in JSON
 * lines what happens, and with `-v` everything.
 */
async function logTo(
  write: (line: string) => void,
  { quiet, verbose }: Verbosity,
  service: boolean,
): Promise<OnEvent> {
  const { consoleLog } = await import('../telemetry/console-log.ts')
  const wordy = verbose + (service ? 1 : 0)
  const level = quiet ? 'error' : wordy === 0 ? 'warn' : wordy === 1 ? 'info' : 'debug'
  return consoleLog({ level, json: wordy > 0, write, nowMs: () => Date.now() })
}

/** What a collector calls it. */
const modeOf = (command: string): string =>
  ({ sync: 'history', live: 'live', serve: 'live' })[command] ?? command

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}
