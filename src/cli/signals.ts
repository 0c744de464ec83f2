import type { Socket } from 'node:net'
import { EverybarError } from '../model/errors.ts'
import { exitCodes } from '../model/exit-code.ts'

type StopSignal = 'SIGINT' | 'SIGTERM'

/** The pipe to the launcher that started this process, where one did: `bin/everybar.js`. */
export const LAUNCHER_FD = 'EVERYBAR_LAUNCHER_FD'

/** How a run is told to stop. */
export interface Stop {
  /** Aborts at the first SIGINT or SIGTERM, with an `cli.interrupted` error as its reason. */
  readonly signal: AbortSignal
  /** 130 or 143 once stopped. */
  readonly exitCode: () => number | undefined
  /** Takes the handlers away. */
  readonly dispose: () => void
}

/**
 * The first SIGINT or SIGTERM aborts the signal, so that the request in flight ends and what is known is written down;
 * the second ends the process at once, which loses nothing either.
 *
 * A terminal sends Ctrl-C to this process and to its launcher, which passes it on through the pipe: both count the
 * same press, so the larger of the two counts is how often it was pressed.
 */
export function listenForStop(onFirst: (signal: StopSignal) => void): Stop {
  const controller = new AbortController()
  const counts = { direct: 0, passed: 0 }
  let exitCode: number | undefined
  const hear = (name: StopSignal, way: 'direct' | 'passed'): void => {
    counts[way]++
    const presses = Math.max(counts.direct, counts.passed)
    exitCode ??= name === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated
    if (presses >= 2) process.exit(exitCode)
    if (controller.signal.aborted) return
    onFirst(name)
    controller.abort(
      new EverybarError('cli.interrupted', `stopped by ${name}`, {
        recovery: 'retry',
        hint: 'Run the same command again: it goes on where it stopped.',
        cause: name,
      }),
    )
  }
  const interrupt = () => hear('SIGINT', 'direct')
  const terminate = () => hear('SIGTERM', 'direct')
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', terminate)
  launcherSignals((name) => hear(name, 'passed'))
  return {
    signal: controller.signal,
    exitCode: () => exitCode,
    dispose: () => {
      process.off('SIGINT', interrupt)
      process.off('SIGTERM', terminate)
    },
  }
}

let onPassed: (signal: StopSignal) => void = () => {}
const launcherSignals = (listener: typeof onPassed): void => {
  onPassed = listener
}

/**
 * Watches the pipe to the launcher, if one started this process. Its end means that the launcher was killed: then this
 * process dies the same way, at once, so that nothing works on unseen. The pipe keeps no process alive.
 */
export function watchLauncher(): void {
  const fd = process.env[LAUNCHER_FD]
  delete process.env[LAUNCHER_FD]
  if (fd === undefined || !/^\d{1,4}$/.test(fd)) return
  const pipe = openPipe(Number(fd))
  if (!pipe) return
  pipe.unref()
  pipe.setEncoding('utf8')
  pipe.on('data', (text: unknown) => {
    for (const name of String(text).split('\n')) if (name === 'SIGINT' || name === 'SIGTERM') onPassed(name)
  })
  const die = () => process.kill(process.pid, 'SIGKILL')
  pipe.on('error', die)
  pipe.on('end', die)
}

/** `undefined` when the number names no pipe of ours: then nobody waits at its other end. */
function openPipe(fd: number): Socket | undefined {
  // Loaded here: help and version, which need no pipe, have to be quick.
  const net = process.getBuiltinModule('node:net')
  try {
    return new net.Socket({ fd, readable: true, writable: false })
  } catch {
    return undefined
  }
}
