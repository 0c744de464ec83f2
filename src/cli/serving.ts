import type { Selection } from '../app/api.ts'
import type { ServiceReport } from '../app/service.ts'
import type { Cli } from './cli.ts'

/** Runs a service with its HTTP until it is stopped, and says where it answers. */
export async function serving(
  cli: Cli,
  selection: Partial<Selection>,
  parts: 'all' | 'live',
): Promise<ServiceReport> {
  const { tellingErrors } = await import('./live-errors.ts')
  const context = tellingErrors(cli, await cli.app())
  const { runServer } = await import('../web/data-server.ts')
  const { droppedLogLines } = cli
  const command = parts === 'live' ? 'live' : 'serve'
  const server = await runServer(context, selection, { parts, command, droppedLogLines })
  // A log has it as an event.
  if (!cli.logsToStdout && !cli.verbosity.quiet) cli.note(`listening on ${server.url}`)
  const report = await server.done
  cli.finish()
  return report
}
