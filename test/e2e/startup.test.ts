import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { inFolder, runCli } from '../run-cli.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** Writes down every module Node loads, its own included. */
const SPY = `
import { registerHooks } from 'node:module'
import { appendFileSync } from 'node:fs'
const log = process.env.LOADED
registerHooks({
  load(url, context, next) {
    appendFileSync(log, url + '\\n')
    return next(url, context)
  },
})`

const modulesOf = (args: readonly string[]): Promise<readonly string[]> =>
  inFolder(async (folder) => {
    const [spy, log] = [join(folder, 'spy.mjs'), join(folder, 'loaded')]
    writeFileSync(spy, SPY)
    const { code } = await runCli(args, {
      command: [process.execPath, '--import', spy, main],
      env: { LOADED: log },
    })
    expect(code).toBe(0)
    return readFileSync(log, 'utf8').trim().split('\n')
  })

const heavy =
  /node_modules\/(zod|yaml|undici|@duckdb|yauzl|@noble|hono|@hono|croner)\/|^node:(sqlite|net|http|https)$/

describe('what starting costs, counted in modules', () => {
  test.each([
    [['--help'], 30],
    [['--version'], 30],
    [['sync', '--help'], 34],
  ])('%j loads nothing heavy and %i modules at most', async (args, most) => {
    const modules = await modulesOf(args)
    expect(modules.filter((url) => heavy.test(url))).toEqual([])
    expect(modules.length).toBeLessThanOrEqual(most)
  })

  test('a command loads no other', async () => {
    const modules = await modulesOf(['sync', '--help'])
    expect(
      modules.filter((url) => url.includes('/cli/commands/')).map((url) => url.replace(/.*\//, '')),
    ).toEqual(['sync.ts'])
  })

  test('the configuration needs neither HTTP nor DuckDB', async () => {
    const modules = await modulesOf(['config', 'schema'])
    expect(modules.filter((url) => /undici|@duckdb|node:sqlite/.test(url))).toEqual([])
  })
})
