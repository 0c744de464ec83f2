import type { Command } from 'commander'
import type { CompactReport } from '../../app/api.ts'
import { counted } from '../format.ts'
import type { Runner } from '../program.ts'

export function define(command: Command, run: Runner): void {
  command.action(
    run(async (cli) => {
      const { compact } = await import('../../app/commands.ts')
      const report = await compact(await cli.app())
      cli.finish()
      return { data: report, text: compactText(report), report: true }
    }),
  )
}

const compactText = ({ files, rows, series, months }: CompactReport): string =>
  files === 0
    ? 'nothing to fold: every bar of the lake is in its month file'
    : `folded ${counted(rows, 'row')} of ${counted(series, 'series')} from ${counted(files, 'delta file')} into ${counted(months, 'month file')}`
