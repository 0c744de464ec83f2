import { type Command, InvalidArgumentError } from 'commander'
import type { RunRecord } from '../../ledger/ledger.ts'
import { EverybarError } from '../../model/errors.ts'
import { duration, time } from '../format.ts'
import type { Runner } from '../program.ts'
import { right, table } from '../table.ts'

export function define(command: Command, run: Runner): void {
  command
    .command('list', { isDefault: true })
    .description('past runs, latest first')
    .option('-n, --limit <count>', 'how many at most', wholeNumber, 20)
    .action(
      run(async (cli, { limit }: { readonly limit: number }) => {
        const { runs } = await import('../../app/commands.ts')
        const found = await runs(await cli.app(), limit)
        return { data: found, text: runsText(found) }
      }),
    )
  command
    .command('show')
    .description('one run with its report')
    .argument('<id>', 'a run id, as `runs list` shows it')
    .action(
      run(async (cli, id: string) => {
        const app = await import('../../app/commands.ts')
        const found = await app.run(await cli.app(), id)
        if (found) return { data: found, text: JSON.stringify(found, null, 2), runId: found.runId }
        throw new EverybarError('cli.unknown-run', `there is no run "${id}"`, {
          recovery: 'abort',
          hint: 'everybar runs list shows those there are.',
        })
      }),
    )
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number from 1.')
  return Number(text)
}

function runsText(found: readonly RunRecord[]): string {
  const columns = ['run', 'command', 'started', right('took'), right('exit')]
  const rows = found.map((one) => [
    one.runId,
    one.command,
    time(one.startedAtMs),
    one.endedAtMs === null ? '-' : duration(one.endedAtMs - one.startedAtMs),
    one.exitCode === null ? '-' : String(one.exitCode),
  ])
  return table(columns, rows)
}
