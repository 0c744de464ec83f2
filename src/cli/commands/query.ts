import { readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import type { Runner } from '../program.ts'

const formats = ['table', 'csv', 'json', 'jsonl'] as const

export function define(command: Command, run: Runner): void {
  command
    .argument('<sql>', 'DuckDB SQL over the view `bars`; - reads it from stdin')
    .addOption(
      new Option('--format <format>', 'how to print (default: table on a terminal, else csv)').choices(
        formats,
      ),
    )
    .action(
      run(async (cli, operand: string, options: { readonly format?: (typeof formats)[number] }) => {
        const sql = operand === '-' ? readFileSync(0, 'utf8') : operand
        const { query } = await import('../../app/commands.ts')
        const app = await cli.app()
        if (!cli.verbosity.json) {
          const format = options.format ?? (cli.terminal ? 'table' : 'csv')
          await query(app, sql, { format, write: cli.streams.out })
          return { data: null }
        }
        const pieces: string[] = []
        await query(app, sql, { format: 'json', write: (piece) => void pieces.push(piece) })
        return { data: JSON.parse(pieces.join('')) as unknown }
      }),
    )
}
