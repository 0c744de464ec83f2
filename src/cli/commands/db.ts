import type { Command } from 'commander'
import type { Runner } from '../program.ts'

export function define(command: Command, run: Runner): void {
  command.command('plan').description('print the SQL that is still to run').action(deed(run, 'plan'))
  command.command('apply').description('run it').action(deed(run, 'apply'))
}

const deed = (run: Runner, name: 'plan' | 'apply') =>
  run(async (cli) => {
    const { database } = await import('../../app/commands.ts')
    const { sql } = await database(await cli.app(), name)
    const none = '-- nothing to do: the tables are as they should be'
    return { data: { sql }, text: sql.length === 0 ? none : sql.join('\n\n') }
  })
