import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { type CliResult, inFolder, type RunOptions, runCli, runHere } from '../run-cli.ts'
import { startLoki } from '../support/loki-server.ts'

/** Hours: that a bar becomes due just as the test stops it is not to be expected. */
const BTC = 'binance:spot:BTCUSDT:1h'

interface Line {
  readonly event: string
  readonly url?: string
  readonly mode?: string
  readonly [field: string]: unknown
}

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({
    seed: 3,
    symbols: ['BTCUSD', 'BTCUSDT', 'ETHUSDT'],
    weightLimit: 1e9,
    fromMs: Date.now() - 9 * 3_600_000,
  })
})
afterAll(() => venue.close())

const linesOf = (stdout: string): readonly Line[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)

/** Runs a service, asks it `ask` once it listens, then sends the signals; gives its end and its log. */
async function serving(
  args: readonly string[],
  options: RunOptions & {
    readonly ask?: (url: string) => Promise<void>
    readonly signals?: readonly NodeJS.Signals[]
    /** Called once it says that it is stopping. */
    readonly onStopping?: (child: ChildProcess) => void
  },
): Promise<{ readonly result: CliResult; readonly log: readonly Line[]; readonly asked: unknown }> {
  const { ask = async () => {}, signals = ['SIGTERM'], env = {}, onStopping } = options
  let asked: Promise<unknown> | undefined
  const result = await runCli(args, {
    ...options,
    env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, ...env },
    onSpawn: (child) => {
      let said = ''
      const hear = (text: string) => {
        said += text
        const url = /"url":"(http:[^"]+)"/.exec(said)?.[1] ?? /listening on (\S+)\n/.exec(said)?.[1]
        if (url === undefined || asked) return
        asked = ask(url)
          .catch((error: unknown) => error)
          .finally(() => {
            for (const signal of signals) child.kill(signal)
          })
      }
      child.stdout!.on('data', hear)
      child.stderr!.on('data', hear)
      child.stderr!.on('data', (text: string) => {
        if (text.includes('finishing what is in flight')) onStopping?.(child)
      })
    },
  })
  return { result, log: args.includes('--json') ? [] : linesOf(result.stdout), asked: await asked }
}

const until = async (url: string, status: number): Promise<void> => {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((next) => setTimeout(next, 50)))
    if ((await fetch(url)).status === status) return
  throw new Error(`${url} never answered ${status}: ${await (await fetch(url)).text()}`)
}

describe('everybar serve', () => {
  test('a log of JSON lines on stdout, answers over HTTP, and SIGTERM ends it cleanly', () =>
    inFolder(async (root) => {
      const { result, log, asked } = await serving(
        ['serve', BTC, '--from', '-5h', '--root', root, '--port', '0'],
        {
          ask: async (url) => {
            await until(`${url}/readyz`, 200)
            const metrics = await (await fetch(`${url}/metrics`)).text()
            expect(metrics).toMatch(/^everybar_series_watched\{state="level"\} 1$/m)
          },
        },
      )
      expect(asked).toBeUndefined()
      expect([result.code, result.stderr]).toEqual([
        0,
        'SIGTERM: finishing what is in flight; once more stops at once\n',
      ])
      const names = log.map(({ event }) => event)
      expect(names[0]).toBe('config_loaded')
      expect(names).toEqual(
        expect.arrayContaining(['serve_started', 'history_complete', 'run_started', 'run_finished']),
      )
      for (const line of log)
        expect(line).toMatchObject({ service_name: 'everybar', environment: 'production', mode: 'live' })
      expect(log.find(({ event }) => event === 'history_complete')).toMatchObject({
        ...{ exchange: 'binance', symbol: 'BTCUSDT', timeframe: '1h' },
      })
      const runs = (await runCli(['runs', 'list', '--root', root, '--json'])).json()
      expect(runs.data).toMatchObject([{ command: 'live', exitCode: 0 }])
    }))

  test('what is left when it is stopped is said by its exit: 143', () =>
    inFolder(async (root) => {
      venue.setFaults('503')
      try {
        const args = ['serve', BTC, '--from', '-5h', '--root', root, '--port', '0', '--json']
        const { result } = await serving(args, { ask: (url) => until(`${url}/readyz`, 503) })
        expect(result.code).toBe(143)
        expect(result.json()).toMatchObject({ ok: false, code: 143, data: { level: false } })
      } finally {
        venue.setFaults('')
      }
    }))

  test('a second signal stops it at once', () =>
    inFolder(async (root) => {
      venue.setFaults('stall@2..') // the first is asked for the first bar, and given up at once
      venue.resetStats()
      try {
        const args = ['serve', BTC, '--from', '-5h', '--root', root, '--port', '0']
        const { result, log } = await serving(args, {
          ask: async () => {
            while (venue.log().filter(({ path }) => path.endsWith('/klines')).length < 2)
              await new Promise((next) => setTimeout(next, 20))
          },
          signals: ['SIGINT'],
          onStopping: (child) => child.kill('SIGTERM'),
        })
        expect(result.code).toBe(130)
        expect(log.map(({ event }) => event)).not.toContain('run_finished')
        expect((await runHere(['status', '--root', root])).code, 'the root is free and whole').toBe(0)
      } finally {
        venue.setFaults('')
      }
    }))

  test('refused at the start, with a hint: a host open to others, a bad job, nothing to keep, a slip in a venue', () =>
    inFolder(async (cwd) => {
      const run = (...args: string[]) => runHere(['serve', '--root', join(cwd, 'root'), ...args], { cwd })
      const open = await run(BTC, '--host', '0.0.0.0', '--port', '0')
      expect([open.code, open.stderr]).toEqual([
        2,
        expect.stringMatching(/error\[serve\.no-token\].*\nhint: Set EVERYBAR_TOKEN/),
      ])
      const nothing = await run('--port', '0')
      expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('error[series.none-named]')])
      const slip = await run('binance:sport:BTCUSDT:1h', '--port', '0')
      expect(slip.code).toBe(2)
      writeFileSync(join(cwd, 'everybar.yaml'), 'jobs:\n  - { name: a, schedule: "99 * * * *", run: sync }\n')
      const job = await run(BTC, '--port', '0')
      expect([job.code, job.stderr]).toEqual([2, expect.stringContaining('everybar.yaml:2:')])
      expect(job.stderr).toContain('jobs.0.schedule')
    }))
})

describe('everybar live', () => {
  test('has no end, and says so of a flag that asks for one', async () => {
    for (const command of ['live', 'serve']) {
      const { code, stderr } = await runCli([command, BTC, '--to', 'now', '--root', 'nowhere'])
      expect([code, stderr]).toEqual([2, expect.stringContaining("unknown option '--to'")])
    }
  })

  test('answers its health where the configuration says so, as the image does', () =>
    inFolder(async (root) => {
      const { result, log, asked } = await serving(['live', BTC, '--from', '-5h', '--root', root], {
        env: { EVERYBAR__SERVE__ENABLED: 'true', EVERYBAR__SERVE__PORT: '0' },
        ask: async (url) => {
          expect(await (await fetch(`${url}/livez`)).json()).toMatchObject({ alive: true })
          await until(`${url}/readyz`, 200)
        },
      })
      expect(asked).toBeUndefined()
      expect(result.code).toBe(0)
      expect(log.map(({ event }) => event)).toContain('serve_started')
    }))

  test('says what happens in a collector’s words, on stdout and to Loki', () =>
    inFolder(async (root) => {
      const loki = await startLoki()
      const seconds = 'binance:spot:BTCUSDT:1s'
      const wanted = [
        'config_loaded',
        'loop_tick',
        'fetch_start',
        'fetch_ok',
        'history_page_done',
        'history_complete',
        'live_cycle_complete',
      ]
      const result = await runCli(['live', seconds, '--from', '-30s', '--root', root, '-v'], {
        env: {
          EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
          LOKI_URL: loki.url,
          SERVICE_NAME: 'bars',
          ENVIRONMENT: 'test',
        },
        onSpawn: (child) => {
          let said = ''
          const hear = (text: string) => {
            said += text
            if (!wanted.every((event) => said.includes(`"event":"${event}"`))) return
            child.stdout!.off('data', hear)
            child.kill('SIGTERM')
          }
          child.stdout!.on('data', hear)
        },
      })
      await loki.close()
      const log = linesOf(result.stdout)
      for (const line of log)
        expect(line).toMatchObject({ service_name: 'bars', environment: 'test', mode: 'live' })
      const answered = { exchange: 'binance', symbol: 'BTCUSDT', timeframe: '1s' }
      expect(log.filter(({ event }) => event === 'fetch_ok').at(-1)).toMatchObject(answered)
      const { labels } = loki.lines.find(({ line }) => line.event === 'fetch_ok')!
      expect(labels).toEqual({
        service_name: 'bars',
        environment: 'test',
        exchange: 'binance',
        mode: 'live',
        level: 'debug',
      })
      const inLoki = loki.lines.map(({ line }) => line.event)
      for (const event of wanted) expect(inLoki).toContain(event)
      expect(loki.lines.length, 'each line went to both').toBe(log.length)
    }))

  test('and does not otherwise', () =>
    inFolder(async (root) => {
      const result = await runCli(['live', BTC, '--from', '-5h', '--root', root], {
        env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
        onSpawn: (child) => {
          child.stdout!.on('data', (text: string) => {
            if (text.includes('history_complete')) child.kill('SIGTERM')
          })
        },
      })
      expect(linesOf(result.stdout).map(({ event }) => event)).not.toContain('serve_started')
    }))

  test('a store that is down: neither level nor complete, whoever asks', () =>
    inFolder(async (cwd) => {
      const root = join(cwd, 'root')
      writeFileSync(
        join(cwd, 'everybar.yaml'),
        'stores: { postgres: { url: "postgres://nobody@127.0.0.1:1/nothing" } }\n',
      )
      const args = ['live', BTC, '--from', '-5h', '--root', root, '--http', '--port', '0']
      const { result, log, asked } = await serving(args, {
        cwd,
        ask: async (url) => {
          const behind = /^everybar_series_watched\{state="behind"\} 1$/m
          while (!behind.test(await (await fetch(`${url}/metrics`)).text()))
            await new Promise((next) => setTimeout(next, 100))
        },
      })
      expect(asked).toBeUndefined()
      expect(result.code).toBe(143)
      expect(log.find(({ event }) => event === 'run_finished')).toMatchObject({ complete: false })
      expect(log.map(({ event }) => event)).not.toContain('replayed')
      const runs = (await runHere(['runs', 'list', '--root', root, '--json'], { cwd })).json()
      expect(runs.data).toMatchObject([{ command: 'live', exitCode: 143 }])
    }))

  test('series that can never be followed: each said on stderr once, with a hint, and exit 2 where all are', () =>
    inFolder(async (root) => {
      const env = {
        EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
        EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
      }
      const wrong = ['binance:spot:NOPE:1m', 'kraken:spot:BTC/USD:2h']
      const all = await runCli(['live', ...wrong, '--root', root], { env })
      expect(all.code).toBe(2)
      const errors = all.stderr.split('\n').filter((line) => line.startsWith('error['))
      expect(errors).toHaveLength(3)
      expect(errors.slice(0, 2).sort()).toEqual([
        expect.stringMatching(/^error\[source\.unknown-symbol\] binance:spot:NOPE:1m: /),
        expect.stringMatching(/^error\[source\.unknown-timeframe\] kraken:spot:\S+:2h: /),
      ])
      expect(errors[2]).toMatch(/^error\[series\.none-to-follow\] /)
      expect(all.stderr.match(/^hint: ./gm)).toHaveLength(3)

      const { result, log } = await serving(['serve', BTC, wrong[0]!, '--root', root, '--port', '0'], {
        ask: async (url) => {
          const failed = async () =>
            /"failures":([2-9]|\d\d)/.test(await (await fetch(`${url}/api/v1/status`)).text())
          while (!(await failed())) await new Promise((next) => setTimeout(next, 100))
        },
      })
      expect(result.code).toBe(143)
      expect(result.stderr.match(/^error\[/gm)).toHaveLength(1)
      expect(log.find(({ event }) => event === 'live_error')).toMatchObject({
        ...{ level: 'error', series: wrong[0], hint: expect.stringMatching(/./) },
      })
    }))

  test('stopped with a request in flight: that is no error of its series', () =>
    inFolder(async (root) => {
      venue.setFaults('stall@2..')
      venue.resetStats()
      try {
        const args = ['serve', BTC, '--from', '-5h', '--root', root, '--port', '0']
        const { result, log } = await serving(args, {
          ask: async () => {
            while (venue.log().filter(({ path }) => path.endsWith('/klines')).length < 2)
              await new Promise((next) => setTimeout(next, 20))
          },
        })
        expect(result.code).toBe(143)
        expect(log.map(({ event }) => event)).toContain('run_finished')
        expect(log.map(({ event }) => event)).not.toContain('live_error')
      } finally {
        venue.setFaults('')
      }
    }))
})
