import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/index.ts'
import { inFolder, runCli } from '../run-cli.ts'
import { runDocExamples } from '../run-doc-examples.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'README.md'), 'utf8')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Stands for the real venue, whose address the examples do not name. */
const venue = await startSimulator({ nowMs: Date.UTC(2024, 5, 1), weightLimit: 1e9 })
const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
afterAll(() => venue.close())

runDocExamples('README.md', { env })

const shellLines = [...page.matchAll(/^```(?:sh)?\n([\s\S]*?)^```$/gm)].flatMap(([, block]) =>
  block!.trim().split('\n'),
)
const words = (line: string) =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!)

describe('command lines of README.md', () => {
  test('the everybar ones run, in order, in one folder', async () => {
    const lines = shellLines.filter((line) => line.startsWith('npx everybar '))
    expect(lines.length).toBeGreaterThan(1)
    await inFolder(async (cwd) => {
      for (const line of lines) {
        const { code, stdout, stderr } = await runCli(words(line).slice(2), { cwd, env })
        expect(`${line} ${code} ${stderr}`).toMatch(/ 0 (?!error)/)
        expect(stdout).not.toBe('')
      }
    })
  })

  test('the npm ones name scripts there are', () => {
    const named = shellLines.flatMap((line) =>
      [...line.matchAll(/npm (?:run )?(\w+)/g)].map(([, name]) => name!),
    )
    expect(named.filter((name) => name !== 'ci')).toEqual(['quickstart', 'test'])
    for (const name of named) expect(name === 'ci' || name in scripts).toBe(true)
  })

  test('every command of the table is one of the program’s', async () => {
    const { stdout } = await runCli(['--help'])
    const table = [...page.matchAll(/^\| `(\w+)/gm)].map(([, name]) => name!)
    expect(table.length).toBeGreaterThan(8)
    for (const name of table) expect(stdout).toMatch(new RegExp(`^ +${name}\\b`, 'm'))
  })
})
