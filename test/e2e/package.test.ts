import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string
  readonly files: readonly string[]
  readonly exports: Readonly<Record<string, unknown>>
}
const subPaths = Object.keys(manifest.exports).map((path) => `everybar${path.slice(1)}`)

let place: string
const stage = () => join(place, 'stage')
const user = () => join(place, 'user')

/** Runs a program to its end; stdout, or an error that shows all it said. */
async function run(cwd: string, program: string, args: readonly string[]): Promise<string> {
  try {
    const options = { cwd, env: { ...environment(), TMPDIR: place }, maxBuffer: 64e6 }
    return (await promisify(execFile)(program, args, options)).stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}\n${stderr}`)
  }
}

/** Nothing of the npm that started the tests: it would answer for this checkout. */
function environment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(EVERYBAR|VITEST|NODE_OPTIONS$|npm_(?!config_))/.test(name),
  )
  return Object.fromEntries(entries) as Record<string, string>
}

/** Everything below a folder: files, and folders that hold nothing. */
function contents(folder: string): { files: string[]; empty: string[] } {
  const found = { files: [] as string[], empty: [] as string[] }
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isDirectory()) found.files.push(relative(folder, path))
    else if (readdirSync(path).length === 0) found.empty.push(relative(folder, path))
  }
  return found
}

/** Built aside, so that the checkout's own `dist` stays as it is; packed, and installed into an empty folder. */
beforeAll(async () => {
  place = mkdtempSync(join(tmpdir(), 'everybar-package-'))
  mkdirSync(stage())
  mkdirSync(user())
  for (const name of ['package.json', ...manifest.files]) {
    if (name !== 'dist' && existsSync(join(root, name)))
      cpSync(join(root, name), join(stage(), name), { recursive: true })
  }
  await run(root, process.execPath, ['scripts/build.ts', join(stage(), 'dist')])
  await run(stage(), 'npm', ['pack', '--ignore-scripts', '--pack-destination', place])
  writeFileSync(join(user(), 'package.json'), '{ "private": true, "type": "module" }\n')
  const tarball = join(place, `everybar-${manifest.version}.tgz`)
  await run(user(), 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball])
}, 240_000)
afterAll(() => rmSync(place, { recursive: true, force: true }))

describe('the packed tarball in an empty folder', () => {
  const installed = () => join(user(), 'node_modules/everybar')

  test('holds what is published, nothing else, and no empty folder', () => {
    const { files, empty } = contents(installed())
    expect(empty).toEqual([])
    expect([...new Set(files.map((file) => file.split('/')[0]))].sort()).toEqual(
      ['package.json', ...manifest.files].sort(),
    )
    expect(files.filter((file) => file.startsWith('dist/') && !/\.(?:js|d\.ts|json)$/.test(file))).toEqual([])
    expect(files).toContain('dist/cli/main.js')
  })

  test('npx everybar --version and --help', async () => {
    expect((await run(user(), 'npx', ['--no', '--', 'everybar', '--version'])).trim()).toBe(manifest.version)
    expect(await run(user(), 'npx', ['--no', '--', 'everybar', '--help'])).toContain('sync')
  })

  test('every sub-path imports, and only testing needs vitest', async () => {
    expect(existsSync(join(user(), 'node_modules/vitest'))).toBe(false)
    for (const path of subPaths.filter((path) => path !== 'everybar/testing')) {
      const attributes = path.endsWith('.json') ? ", { with: { type: 'json' } }" : ''
      const code = `console.log(Object.keys(await import('${path}'${attributes})).length > 0)`
      expect(`${path} ${await run(user(), process.execPath, ['--input-type=module', '-e', code])}`).toBe(
        `${path} true\n`,
      )
    }
    const testing = run(user(), process.execPath, [
      '--input-type=module',
      '-e',
      "await import('everybar/testing')",
    ])
    await expect(testing).rejects.toThrow("Cannot find package 'vitest'")
  })

  test('works: a simulated venue, a sync, a query, bars in memory', async () => {
    writeFileSync(join(user(), 'work.js'), WORK)
    expect(await run(user(), process.execPath, ['work.js'])).toBe('true 0 1440 500\n')
  })

  test('npm run quickstart does the main job with it', async () => {
    mkdirSync(join(stage(), 'scripts'))
    cpSync(join(root, 'scripts/quickstart.ts'), join(stage(), 'scripts/quickstart.ts'))
    symlinkSync(join(root, 'node_modules'), join(stage(), 'node_modules'))
    const said = await run(stage(), process.execPath, ['scripts/quickstart.ts'])
    expect(said).toContain('complete; 88 slices')
    expect(said).toContain('BTCUSDT,44000,')
    expect(said).toContain('npx everybar sync')
  })

  test('type-checks a strict consumer, declarations included', async () => {
    for (const name of ['typescript', 'vitest', '@types/node', 'undici-types']) {
      const link = join(user(), 'node_modules', name)
      mkdirSync(join(link, '..'), { recursive: true })
      if (!existsSync(link)) symlinkSync(join(root, 'node_modules', name), link)
    }
    writeFileSync(join(user(), 'consumer.ts'), CONSUMER)
    writeFileSync(
      join(user(), 'tsconfig.json'),
      JSON.stringify({ compilerOptions: STRICT, files: ['consumer.ts'] }),
    )
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    expect(await run(user(), process.execPath, [tsc, '-p', '.'])).toBe('')
  })
})

const WORK = `
import { fetchBars, query, startSimulator, sync, verify } from 'everybar'
const venue = await startSimulator({ nowMs: Date.UTC(2024, 1, 1) })
const at = { root: 'data', baseUrl: venue.url }
const series = 'binance:spot:BTCUSDT:1m'
const { complete } = await sync({ ...at, series, from: '2024-01-01', to: '2024-01-02' })
const { faults } = await verify(at)
const { rows } = await query({ ...at, sql: "SELECT count(*) AS n FROM bars WHERE open_time::DATE = '2024-01-01'" })
const { totalPoints } = await fetchBars({ ...at, series, limit: 500 })
console.log(complete, faults.length, rows[0].n, totalPoints)
await venue.close()
`

const STRICT = {
  target: 'es2024',
  module: 'nodenext',
  lib: ['es2024', 'esnext.disposable'],
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
}

const CONSUMER = `
import { type Bar, type BarResult, EverybarError, fetchBars, parseSeries, type Source, sync, timeRange } from 'everybar'
import { ChunkPlanner, type ChunkEndpoint, fetchChunks } from 'everybar/chunking'
import { ParquetDataLoader } from 'everybar/loader'
import { storeContract } from 'everybar/testing'

export async function latest(): Promise<readonly Bar[]> {
  const result: BarResult = await fetchBars({ series: parseSeries('binance:spot:BTCUSDT:1m'), limit: 10 })
  return result.data
}
export const endpoint = (source: Source): ChunkEndpoint => source.spec
export const complete = async (): Promise<boolean> =>
  (await sync({ series: ['binance:spot:BTCUSDT:1m'], from: '2024', root: './data' })).complete
export const range = timeRange(0, 60_000)
export const codeOf = (error: unknown): string | undefined => (error instanceof EverybarError ? error.code : undefined)
export const words = [ChunkPlanner, fetchChunks, ParquetDataLoader, storeContract]
// @ts-expect-error a series is needed
export const wrong = fetchBars({ limit: 10 })
`
