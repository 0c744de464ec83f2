import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { EverybarError, messageOf } from '../../model/errors.ts'
import type { Runner } from '../program.ts'

export function define(command: Command, run: Runner): void {
  command.argument('[file]', 'where to write it (default: --config, else ./everybar.yaml)').action(
    run(async (cli, operand: string | undefined) => {
      const { configTemplate } = await import('../../config/template.ts')
      const file = resolve(operand ?? cli.flags.config ?? 'everybar.yaml')
      writeNew(file, configTemplate(schemaPath(dirname(file))))
      const outcome = { data: { file }, text: `wrote ${file}`, report: true }
      cli.emit(outcome)
      if (!cli.verbosity.json && !cli.verbosity.quiet)
        cli.note('next: name your series there, then everybar plan')
      return outcome
    }),
  )
}

/** The schema that comes with this package, seen from `folder`: no network, and the version that is installed. */
function schemaPath(folder: string): string {
  const schema = fileURLToPath(new URL('../../../docs/everybar.schema.json', import.meta.url))
  const path = relative(folder, schema)
  const inside = !path.startsWith('..') && !isAbsolute(path)
  return (inside ? `./${path}` : schema).split(sep).join('/')
}

function writeNew(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text, { flag: 'wx' })
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    throw exists
      ? new EverybarError('config.exists', 'there is a file already', {
          recovery: 'abort',
          hint: 'Move it away, or name another: everybar init FILE.',
          path: file,
          cause,
        })
      : new EverybarError('config.not-writable', messageOf(cause), {
          recovery: 'abort',
          hint: 'Name a file in a folder that can be written to.',
          path: file,
          cause,
        })
  }
}
