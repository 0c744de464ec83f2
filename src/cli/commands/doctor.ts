import type { Command } from 'commander'
import type { Check } from '../../app/commands.ts'
import { EverybarError, messageOf } from '../../model/errors.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { localChecks } from '../local-checks.ts'
import type { Runner } from '../program.ts'
import { table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  command.action(
    run(async (cli) => {
      const { doctor } = await import('../../app/commands.ts')
      const { config } = await cli.config()
      const app = await cli.app()
      const [local, venue] = await Promise.all([localChecks(config.root), doctor(app).catch(unchecked)])
      const checks = [...local, ...venue]
      const failed = checks.some(({ state }) => state === 'fail')
      return {
        data: checks,
        text: doctorText(checks),
        exitCode: failed ? exitCodes.failed : exitCodes.complete,
      }
    }),
  )
}

/** What the application could not look at is one more finding: the others still want to be seen. */
function unchecked(error: unknown): readonly Check[] {
  const hint =
    error instanceof EverybarError ? error.hint : 'Run it again with -vv, and report what that shows.'
  return [{ name: 'root and venue', state: 'fail', detail: messageOf(error), hint }]
}

function doctorText(checks: readonly Check[]): string {
  const lines = table(
    ['', 'check', 'found'],
    checks.map(({ state, name, detail }) => [state, name, detail]),
  )
  const hints = checks.flatMap(({ name, hint, state }) =>
    hint && state !== 'pass' ? [`hint: ${name}: ${hint}`] : [],
  )
  return [lines, ...hints].join('\n')
}
