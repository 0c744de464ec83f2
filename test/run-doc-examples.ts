import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

export interface DocExample {
  /** Line of the page its first line stands on. */
  readonly line: number
  readonly code: string
  /** What it says it prints: the texts after `// →`, in order. */
  readonly prints: readonly string[]
}

/** The ` ```ts ` blocks of a page. Blocks of other words (` ```typescript `, ` ```sh `) are not run. */
export function docExamples(markdown: string): DocExample[] {
  return [...markdown.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => {
    const code = match[1]!
    return {
      line: markdown.slice(0, match.index).split('\n').length + 1,
      code,
      prints: [...code.matchAll(/\/\/ → (.*)$/gm)].map((print) => print[1]!.trim()),
    }
  })
}

/**
 * Registers tests for a page: its ` ```ts ` blocks type-check, each of them runs as a module of its own, and prints
 * what it says it prints. A block that neither prints nor asserts fails. `everybar` and its sub-paths mean the sources
 * here; everything else resolves as it does for them.
 *
 * @param page path from the root of the repository.
 */
export function runDocExamples(
  page: string,
  options: { readonly env?: Readonly<Record<string, string>> } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'everybar-examples-'))
  const examples = docExamples(readFileSync(join(root, page), 'utf8'))
  const files = examples.map(({ line, code }) => {
    const path = join(folder, `line-${line}.mts`)
    writeFileSync(path, importingSources(code, folder))
    return path
  })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const config = { extends: join(root, 'tsconfig.json'), include: ['*.mts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))

  describe(`examples of ${page}`, () => {
    afterAll(() => rmSync(folder, { recursive: true }))

    test('there are some, and they type-check', async () => {
      expect(examples.length).toBeGreaterThan(0)
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const failed = (error: { readonly stdout: string; readonly code: number }) => error
      const { stdout, code } = {
        code: 0,
        ...(await run(process.execPath, [tsc, '-p', folder]).catch(failed)),
      }
      expect(stdout).toBe('')
      expect(code).toBe(0)
    })

    test.each(examples.map((example, i) => ({ ...example, file: files[i]! })))(
      'line $line',
      async ({ code, prints, file }) => {
        expect(prints.length > 0 || /\bassert\b/.test(code), 'prints or asserts something').toBe(true)
        const env = { ...process.env, ...options.env }
        const { stdout } = await run(process.execPath, [file], { env, cwd: folder, timeout: 30_000 })
        const printed = stdout.split('\n').map((text) => text.trim())
        expect(printed.filter((text) => text !== '')).toEqual(prints)
      },
    )
  })
}

/** Points imports of this package at its sources, for code that will lie in `folder`. */
export function importingSources(code: string, folder: string): string {
  const { name, exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly name: string
    readonly exports: Readonly<Record<string, string | { readonly default: string }>>
  }
  return code.replace(/(from\s+|import\(\s*)'([^']+)'/g, (whole, keyword: string, specifier: string) => {
    if (specifier !== name && !specifier.startsWith(`${name}/`)) return whole
    const entry = exports[`.${specifier.slice(name.length)}`]
    if (entry === undefined || typeof entry === 'string') throw new Error(`${specifier} is not exported`)
    const source = entry.default.replace('./dist/', 'src/').replace(/\.js$/, '.ts')
    return `${keyword}'${relative(folder, join(root, source))}'`
  })
}
