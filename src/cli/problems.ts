import type { Problem } from '../app/api.ts'
import { printable } from '../model/text.ts'
import { redactText } from '../telemetry/redact.ts'
import type { Cli } from './cli.ts'
import { errorLines } from './output.ts'

/** Says on stderr what went wrong on the way, each problem once, as errors are said. */
export function noteProblems(cli: Cli, problems: readonly Problem[]): void {
  if (cli.verbosity.json) return
  const lines = problems.map(({ code, message, hint, path }) =>
    errorLines(
      { code, message: safe(message), hint: safe(hint), path: path === undefined ? undefined : safe(path) },
      cli.verbosity,
    ),
  )
  for (const line of new Set(lines)) cli.note(line)
}

const safe = (text: string): string => printable(redactText(text))
