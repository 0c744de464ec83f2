import type { Command } from 'commander'
import type { Runner } from '../program.ts'

export function define(command: Command, run: Runner): void {
  command
    .command('validate')
    .description('report every fault at once, with line and column')
    .action(
      run(async (cli) => {
        const { config, file } = await cli.config()
        const source = file ?? 'defaults and environment; there is no everybar.yaml here'
        return { data: { file: file ?? null, series: config.series.length }, text: `valid: ${source}` }
      }),
    )
  command
    .command('schema')
    .description('print the JSON Schema that editors check everybar.yaml against')
    .action(
      run(async () => {
        const { configJsonSchema } = await import('../../config/print.ts')
        const schema = configJsonSchema()
        return { data: schema, text: JSON.stringify(schema, null, 2) }
      }),
    )
  command
    .command('print')
    .description('print the resolved configuration, secrets redacted')
    .action(
      run(async (cli) => {
        const { configYaml, redactConfig } = await import('../../config/print.ts')
        const { config } = await cli.config()
        return { data: redactConfig(config), text: configYaml(config).trimEnd() }
      }),
    )
}
