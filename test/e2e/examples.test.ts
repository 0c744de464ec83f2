import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { inFolder } from '../run-cli.ts'
import { importingSources } from '../run-doc-examples.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))

/** Each runs as it stands, against the sources, and prints what it says it prints. The type check covers them too. */
describe('examples/', () => {
  test.each(names)('%s', async (name) => {
    await inFolder(async (folder) => {
      const code = readFileSync(join(root, 'examples', name), 'utf8')
      const says = [...code.matchAll(/\/\/ → (.*)$/gm)].map((print) => print[1]!.trim())
      expect(says.length).toBeGreaterThan(0)
      mkdirSync(join(folder, 'examples'))
      symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
      const file = join(folder, 'examples', name.replace(/\.ts$/, '.mts'))
      writeFileSync(file, importingSources(code, join(folder, 'examples')))
      const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder })
      expect(stdout.trim().split('\n')).toEqual(says)
    })
  })
})
