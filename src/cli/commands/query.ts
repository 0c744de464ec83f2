import { readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { EverybarError } from '../../model/errors.ts'
import { readWhen, whenHint } from '../../model/when.ts'
import type { Runner } from '../program.ts'

const formats = ['table', 'csv', 'json', 'jsonl'] as const

interface QueryFlags {
  readonly format?: (typeof formats)[number]
  readonly asOf?: string
}

export function define(command: Command, run: Runner): void {
  command
    .argument('<sql>', 'DuckDB SQL over the view `bars`; - reads it from stdin')
    .addOption(
      new Option('--format <format>', 'how to print (default: table on a terminal, else csv)').choices(
        formats,
      ),
    )
    .option('--as-of <time>', 'show what was known then: 2024-03-05T14:00Z, -1d')
    .action(
      run(async (cli, operand: string, options: QueryFlags) => {
        const asOf = options.asOf === undefined ? {} : { asOfMs: pastInstant(options.asOf) }
        const sql = operand === '-' ? readFileSync(0, 'utf8') : operand
        const { query } = await import('../../app/commands.ts')
        const app = await cli.app()
        if (!cli.verbosity.json) {
          const format = options.format ?? (cli.terminal ? 'table' : 'csv')
          await query(app, sql, { format, write: cli.streams.out, ...asOf })
          return { data: null }
        }
        const pieces: string[] = []
        await query(app, sql, { format: 'json', write: (piece) => void pieces.push(piece), ...asOf })
        return { data: JSON.parse(pieces.join('')) as unknown }
      }),
    )
}

function pastInstant(text: string): number {
  const when = readWhen(text)
  if (when?.kind === 'at') return when.ms
  if (when?.kind === 'ago') return Date.now() - when.ms
  throw new EverybarError('cli.bad-time', `--as-of "${text}" is not a point in time`, {
    recovery: 'abort',
    hint: whenHint,
    path: '--as-of',
  })
}
