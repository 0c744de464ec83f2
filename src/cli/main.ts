import { exitCodes } from '../model/exit-code.ts'
import type { Surroundings } from './cli.ts'
import { writeError } from './output.ts'
import { runCommandLine, verbosityOf } from './run.ts'
import { watchLauncher } from './signals.ts'

const { stdout, stderr } = process

const here: Surroundings = {
  cwd: process.cwd(),
  env: process.env,
  streams: {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
  },
  outIsTerminal: stdout.isTTY === true,
  errIsTerminal: stderr.isTTY === true,
  columns: () => stderr.columns || 80,
  onCommand: async () => (await import('./heap.ts')).searchHeapSeldom(),
}

/** What nobody caught, a rejection that nobody awaits among it, ends the process: what it would go on with is not sure. */
async function lastWords(error: unknown): Promise<void> {
  const { redactText } = await import('../telemetry/redact.ts')
  const verbosity = verbosityOf({ verbose: process.argv.includes('-vv') ? 2 : 0 }, here)
  writeError(error, here.streams, verbosity, { redact: redactText })
  process.exit(exitCodes.failed)
}

watchLauncher()
// A reader that has seen enough (`| head`) is no fault.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
process.on('uncaughtException', (error) => void lastWords(error))
process.exitCode = await runCommandLine(process.argv.slice(2), here)
// Everything is closed by now. Should something still hold the process, it is not worth waiting for.
setTimeout(() => process.exit(), 1_000).unref()
