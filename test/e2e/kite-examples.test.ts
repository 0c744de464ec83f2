import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { inFolder } from '../run-cli.ts'

const folder = fileURLToPath(new URL('../../examples/kite/', import.meta.url))
const run = (program: string, args: readonly string[], env: Readonly<Record<string, string>>, cwd: string) =>
  promisify(execFile)(program, [...args], { cwd, env: { ...process.env, ...env } }).then(
    ({ stdout, stderr }) => ({ code: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      text: error.stdout + error.stderr,
    }),
  )

/** An `everybar` that leaves with these codes, one a call, and writes down what it was called with. */
function fakeEverybar(
  at: string,
  codes: readonly number[],
): { readonly env: Record<string, string>; readonly calls: () => string[] } {
  const bin = join(at, 'bin')
  mkdirSync(bin)
  const script = `#!/bin/sh
echo "$*" >> ${at}/calls
n=$(wc -l < ${at}/calls)
exit $(echo "${codes.join(' ')}" | cut -d' ' -f$n)
`
  writeFileSync(join(bin, 'everybar'), script, { mode: 0o755 })
  writeFileSync(join(at, 'calls'), '')
  return {
    env: { PATH: `${bin}:${process.env.PATH}`, EVERYBAR_WAIT_SECONDS: '0', EVERYBAR_FOLDER: at },
    calls: () => readFileSync(join(at, 'calls'), 'utf8').trim().split('\n'),
  }
}

describe('examples/kite', () => {
  test('the configuration holds', () => {
    const env = { DATABASE_URL: 'postgres://u:p@localhost/x' }
    const { config } = loadConfig({ file: join(folder, 'everybar.yaml'), cwd: folder, home: '/home/x', env })
    expect(config.kite).toMatchObject({
      candle_interval: 'day',
      exchanges: ['NSE', 'BSE'],
      parallel_workers: 10,
    })
  })

  test.each([
    ['done', [0, 0], 0, 2],
    ['down at first', [0, 5, 0, 0], 0, 4],
    ['something missing, then not', [0, 3, 0, 0], 0, 4],
    ['down for good', [5, 5, 5, 5], 5, 4],
    ['the login has ended', [12], 12, 1],
    ['a slip in the configuration', [0, 2], 2, 2],
  ])('daily.sh: %s', async (_name, codes, code, calls) => {
    await inFolder(async (at) => {
      const fake = fakeEverybar(at, codes)
      const { code: left, text } = await run('sh', [join(folder, 'daily.sh')], fake.env, at)
      expect([left, fake.calls().length]).toEqual([code, calls])
      if (code === 12) expect(text).toContain('kite login')
    })
  })

  /** Just enough of Airflow to load the DAG and run its tasks in order. */
  const airflow = `
import sys, types
def module(name, **names):
    made = types.ModuleType(name); made.__dict__.update(names); sys.modules[name] = made
class AirflowException(Exception): pass
class AirflowFailException(Exception): pass
class Task:
    def __rshift__(self, other): return other
def task(f):
    def call(): f(); return Task()
    return call
def dag(**settings):
    assert settings["max_active_runs"] == 1 and settings["default_args"]["retries"] == 3
    return lambda f: f
module("airflow"); module("airflow.decorators", dag=dag, task=task)
module("airflow.exceptions", AirflowException=AirflowException, AirflowFailException=AirflowFailException)
module("pendulum", datetime=lambda *a, **k: None)
import runpy
try:
    runpy.run_path(sys.argv[1])
    print("done")
except (AirflowException, AirflowFailException) as error:
    print(type(error).__name__, error)
`
  test.each([
    ['done', [0, 0], 'done'],
    ['down', [0, 5], 'AirflowException everybar sync: exit code 5'],
    ['the login has ended', [0, 12], 'AirflowFailException everybar sync: exit code 12: the login has ended'],
    ['a slip', [2], 'AirflowFailException everybar instruments sync kite: exit code 2'],
  ])('airflow_dag.py: %s', async (_name, codes, says) => {
    const python = await run('python3', ['--version'], {}, folder)
    if (python.code !== 0) return expect(python.code).not.toBe(0)
    await inFolder(async (at) => {
      writeFileSync(join(at, 'run.py'), airflow)
      const fake = fakeEverybar(at, codes)
      const { text } = await run(
        'python3',
        [join(at, 'run.py'), join(folder, 'airflow_dag.py')],
        fake.env,
        at,
      )
      expect(text).toContain(says)
    })
  })

  test('systemd tries again after 3 and 5, and after no other', () => {
    const unit = readFileSync(join(folder, 'everybar-kite.service'), 'utf8')
    expect(unit).toMatch(/^RestartForceExitStatus=3 5$/m)
    expect(unit).toMatch(/^RestartPreventExitStatus=1 2 4 10 11 12$/m)
  })
})
