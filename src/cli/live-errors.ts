import type { AppContext } from '../app/commands.ts'
import type { Cli } from './cli.ts'
import { noteProblems } from './problems.ts'

/**
 * The context of a service whose log is on stdout: what only a person can mend about a series is said on stderr too,
 * as errors are, once each.
 */
export function tellingErrors(cli: Cli, context: AppContext): AppContext {
  if (!cli.logsToStdout) return context
  const told = new Set<string>()
  const tell: AppContext['onEvent'] = (event) => {
    context.onEvent(event)
    const { series, code, message, hint } = event
    const key = `${series} ${code}`
    if (event.event !== 'live_error' || event.level !== 'error' || told.has(key)) return
    told.add(key)
    noteProblems(cli, [{ code: String(code), message: `${series}: ${message}`, hint: String(hint) }])
  }
  return { ...context, onEvent: tell }
}
