import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ChronosLoader, ChronosTrainer, frameToArrow, type TrainerOptions } from '../../src/loader/index.ts'
import { parseSeries } from '../../src/model/series.ts'
import { MINUTE_MS } from '../../src/model/time.ts'
import { madeBar, makeLake, scratch, thrown, writeConfig } from '../loader-lake.ts'

const FROM = Date.UTC(2024, 0, 1)
const SERIES = 'binance:spot:BTCUSDT:1m'
const range = { startMs: FROM, endMs: FROM + 300 * MINUTE_MS }

async function lake() {
  const root = scratch()
  await makeLake(root, SERIES, FROM, 300)
  return { root, dir: join(root, 'lake', 'binance') }
}

describe('ChronosLoader', () => {
  test('works on arrays without a configuration', () => {
    const loader = new ChronosLoader()
    expect([...loader.contextOf([1, 2, 3, 4], 3)]).toEqual([2, 3, 4])
    expect([...loader.contextOf(Float64Array.of(1), 3)]).toEqual([1])
  })

  test('cuts windows in time order, none across the border', () => {
    const values = Array.from({ length: 100 }, (_, i) => i)
    const { train, validation } = new ChronosLoader().windowsOf(values, {
      contextLength: 10,
      predictionLength: 5,
    })
    expect([train.contexts.length, validation.contexts.length]).toEqual([66, 16])
    expect([...train.contexts[0]!, ...train.targets[0]!]).toEqual(values.slice(0, 15))
    expect(Math.max(...train.targets.flatMap((target) => [...target]))).toBe(79)
    expect(Math.min(...validation.targets.flatMap((target) => [...target]))).toBe(80)
  })

  test('loads from Parquet with one', async () => {
    const { dir } = await lake()
    const loader = new ChronosLoader(writeConfig(dir))
    const { contexts, startMs } = await loader.loadContext({ symbol: 'BTCUSDT', contextLength: 64 })
    expect([contexts.close!.length, contexts.close![63], startMs]).toEqual([
      64,
      madeBar(299).close,
      range.endMs,
    ])
    const { train, validation } = await loader.loadArrays({ symbol: 'BTCUSDT', year: 2024 })
    expect([train.close!.length, validation.close!.length, train.close!.constructor.name]).toEqual([
      240,
      60,
      'Float32Array',
    ])
    await loader.close()
  })

  test('says what it needs', async () => {
    const fault = await thrown(() => new ChronosLoader().loadContext({ symbol: 'X', contextLength: 1 }))
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.config'])
    expect((await thrown(() => new ChronosLoader('/nowhere.yaml'))).code).toBe('loader.config')
  })
})

describe('ChronosTrainer', () => {
  const gluonts = { prediction_length: 16 }
  const script = (code: string) => [process.execPath, '-e', code, '--']

  async function train(options: TrainerOptions, signal?: AbortSignal) {
    const { root } = await lake()
    const out = join(scratch(), 'out')
    const trainer = new ChronosTrainer(options)
    const job = { root, out, range, series: [parseSeries(SERIES)], gluonts, ...(signal && { signal }) }
    const outcome = await trainer.train(job).then(
      (result) => ({ result, fault: undefined }),
      (fault: { code?: string; message: string }) => ({ result: undefined, fault }),
    )
    const log = (id: string) =>
      JSON.parse(readFileSync(join(out, 'audit_logs', `${id}.json`), 'utf8')) as Record<string, unknown>
    return { ...outcome, out, log }
  }

  test('makes the data set, runs the command in its folder, streams and keeps what it prints', async () => {
    const lines: string[] = []
    const code = `console.log(require('fs').readdirSync('.').filter((n) => !n.startsWith('.')).sort().join(' ')); console.error(process.argv.slice(1).join(' '))`
    const { result, out, log } = await train({ command: script(code), onLine: (line) => lines.push(line) })
    expect(result?.ran).toBe(true)
    expect(lines.sort()).toEqual([
      `--config ${join(out, 'train.yaml')}`,
      'audit_logs dataset.json shard-0.arrow train.yaml',
    ])
    expect(log(result!.sessionId)).toMatchObject({
      ...{ kind: 'training-run', status: 'completed', request: { dataset: result!.dataset.id } },
      output: expect.arrayContaining(lines) as string[],
    })
  })

  test('puts the configuration where the command wants it', async () => {
    const { result, out } = await train({ command: [...script(''), 'x={config}'] })
    expect(result?.command.at(-1)).toBe(`x=${join(out, 'train.yaml')}`)
  })

  test('without a command nothing is run, and the outcome holds the one to run', async () => {
    const { result, out } = await train({})
    expect(result).toMatchObject({
      ran: false,
      command: ['python', 'scripts/training/train.py', '--config', join(out, 'train.yaml')],
    })
  })

  const faults: [string, string[], string, string][] = [
    [
      'that fails',
      script('console.log("CUDA out of memory"); process.exit(3)'),
      'loader.training-failed',
      'ended with 3: CUDA out of memory',
    ],
    ['that is killed', script('process.kill(process.pid, "SIGKILL")'), 'loader.training-failed', 'SIGKILL'],
    ['that is not there', ['/no/such/program'], 'loader.training-command', 'cannot be started'],
  ]
  test.each(faults)(
    'a program %s fails the session and leaves the data set',
    async (_name, command, code, message) => {
      const { fault, out, log } = await train({ command })
      expect(fault).toMatchObject({ code, message: expect.stringContaining(message) as string })
      const [session] = readdirSync(join(out, 'audit_logs'))
      expect(log(session!.replace('.json', ''))).toMatchObject({ status: 'failed', error: { code } })
      expect(readdirSync(out)).toContain('dataset.json')
    },
  )

  test('stopping ends the program', async () => {
    const stop = new AbortController()
    const running = train(
      {
        command: script('console.log("up"); setInterval(() => {}, 1000)'),
        onLine: () => stop.abort(new Error('stopped')),
      },
      stop.signal,
    )
    expect((await running).fault?.message).toBe('stopped')
  })
})

test('a frame as Arrow is an IPC file', () => {
  const frame = {
    length: 2,
    timeMs: Float64Array.of(FROM, FROM + 1),
    columns: { close: Float64Array.of(1, Number.NaN) },
    filled: {},
  }
  const bytes = Buffer.from(frameToArrow(frame))
  expect([bytes.subarray(0, 6).toString(), bytes.subarray(-6).toString()]).toEqual(['ARROW1', 'ARROW1'])
  expect(bytes.includes(Buffer.from(Float64Array.of(1, Number.NaN).buffer))).toBe(true)
})
