import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { checkFuture, checkLong, readGluonts, readParquet } from '../consumers.ts'
import { inFolder, runCli } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const page = readFileSync(
  fileURLToPath(new URL('../../docs/from-exchange-to-fine-tuned-model.md', import.meta.url)),
  'utf8',
)
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap((match) =>
  match[1]!.trim().split('\n'),
)

describe('everybar export', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ seed: 7, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
  })
  afterAll(() => venue.close())

  const run = (cwd: string, ...args: string[]) =>
    runCli(args, { cwd, env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url } })
  const day = ['--from', '2024-01-02', '--to', '2024-01-03', '--root', 'data']

  test('the page "From exchange to fine-tuned model" works as written', async () => {
    expect(commands.length).toBeGreaterThan(5)
    await inFolder(async (cwd) => {
      for (const command of commands) {
        const [program, ...args] = command.split(' ')
        expect(program).toBe('everybar')
        const { code, stderr } = await run(cwd, ...args)
        expect({ command, code, stderr: code === 0 ? '' : stderr }).toEqual({ command, code: 0, stderr: '' })
      }
      const long = await checkLong(join(cwd, 'long', 'long.parquet'))
      expect([...long.items].map(([id, rows]) => [id, rows.length])).toEqual([
        ['binance:spot:BTCUSDT:1m', 7 * 1440],
        ['binance:spot:ETHUSDT:1m', 7 * 1440],
      ])
      const shards = readdirSync(join(cwd, 'gluonts')).filter((name) => name.endsWith('.arrow'))
      expect(shards).toHaveLength(4)
      const bars = shards.flatMap((name) =>
        readGluonts(join(cwd, 'gluonts', name)).rows.map((row) => row.target.length),
      )
      expect(bars.reduce((a, b) => a + b)).toBe(2 * 7 * 1440)
      const windows = await readParquet(join(cwd, 'windows', 'windows.parquet'))
      expect(new Set(windows.rows.map((row) => row.split))).toEqual(
        new Set(['train', 'embargo', 'validation']),
      )
      for (const name of ['long.parquet', 'dataset.json']) {
        const [first, again] = ['long', 'again'].map((folder) => readFileSync(join(cwd, folder, name)))
        expect(again!.equals(first!)).toBe(true)
      }
    })
  })

  test('reports what it wrote, and its faults by exit code', async () => {
    await inFolder(async (cwd) => {
      expect((await run(cwd, 'sync', BTC, ...day)).code).toBe(0)
      const made = await run(cwd, 'export', BTC, ...day, '--out', 'out', '--json')
      expect(made.code).toBe(0)
      expect(made.json().data).toMatchObject({
        series: [{ item_id: BTC, rows: 1440, missing: 0, complete: true, gaps: {} }],
        outputs: [{ path: 'long.parquet', rows: 1440 }],
      })
      const text = await run(cwd, 'export', BTC, ...day, '--out', 'out')
      expect(text.stdout).toContain(`1 file, `)
      expect(text.stdout).toContain(made.json().data.id)

      const future = await run(
        cwd,
        'export',
        BTC,
        ...day,
        '--out',
        'next',
        '--format',
        'future',
        '--prediction-length',
        '24',
      )
      expect(future.code).toBe(0)
      await checkFuture(
        join(cwd, 'next', 'future.parquet'),
        await checkLong(join(cwd, 'out', 'long.parquet')),
        24,
      )

      const more = ['--from', '2024-01-02', '--to', '2024-01-05', '--root', 'data']
      const faults: [string[], number, string][] = [
        [[BTC, ...day], 2, 'cli.no-out'],
        [[BTC, ...day, '--out', 'x', '--format', 'windows'], 2, 'loader.bad-export'],
        [[BTC, ...day, '--out', 'x', '--shards', 'many'], 2, 'cli.usage'],
        [[BTC, ...day, '--out', 'x', '--test-from', 'soon'], 2, 'cli.bad-time'],
        [[BTC, ...day, '--out', 'data'], 2, 'loader.out-not-empty'],
        [[BTC, ...more, '--out', 'x'], 3, 'loader.incomplete'],
        [['--locked', 'nowhere.json', '--root', 'data', '--out', 'x'], 2, 'loader.bad-lock'],
        [[BTC, ...day.slice(0, 4), '--root', 'nowhere', '--out', 'x'], 10, 'root.not-found'],
      ]
      for (const [args, code, name] of faults) {
        const result = await run(cwd, 'export', ...args, '--json')
        expect([result.json().error?.code, result.code]).toEqual([name, code])
      }
      const some = await run(cwd, 'export', BTC, ...more, '--out', 'x', '--allow-incomplete', '--json')
      expect(some.code).toBe(0)
      const [series] = some.json().data.series
      expect(series.complete).toBe(false)
      expect(series.gaps.never_fetched).toBe(series.missing)
    })
  })

  test('a bar the lake lacks and the ledger has is not complete', async () => {
    await inFolder(async (cwd) => {
      await run(cwd, 'sync', BTC, '--from', '2024-01-30', '--to', '2024-02-03', '--root', 'data')
      const folder = join(cwd, 'data', 'lake', 'binance', '2024', '02')
      for (const name of readdirSync(folder)) rmSync(join(folder, name))
      const range = ['--from', '2024-01-31', '--to', '2024-02-02', '--root', 'data']
      const result = await run(cwd, 'export', BTC, ...range, '--out', 'x', '--json')
      expect([result.json().error?.code, result.code]).toEqual(['loader.incomplete', 3])
      expect(result.json().error?.message).toContain(
        '1440 unknown; first from 2024-02-01T00:00:00Z to 2024-02-02T00:00:00Z',
      )
    })
  })
})
