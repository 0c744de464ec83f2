import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { startLoki } from '../support/loki-server.ts'

describe('sync in a collector’s words', () => {
  let venue: Simulator
  beforeAll(async () => {
    const nowMs = Date.parse('2024-03-01T00:00:30Z')
    venue = await startSimulator({ symbols: ['BTCUSDT', 'ETHUSDT'], seed: 7, nowMs, weightLimit: 1e9 })
  })
  afterAll(() => venue.close())

  const env = () => ({
    EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
    EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
    EVERYBAR__FETCH__BACKOFF_BASE_MS: '1',
  })
  const yaml = `
root: ./data
exchanges:
  binance: [{ symbol: BTC/USDT, timeframes: [1h] }]
  okx: [{ symbol: NOPE/USDT, timeframes: [1h] }, { symbol: ETH/USDT, timeframes: [1h] }]
`
  const history = ['sync', '--mode', 'history', '--start', '2024-02-01', '--end', '2024-02-03', '--json']

  test('every series of the exchanges, to the end of the range; one that fails stalls no other, and is told', async () => {
    await inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'everybar.yaml'), yaml)
      const result = await runHere([...history, '--history-page-limit', '10'], { cwd, env: env() })
      expect(result.code).not.toBe(0)
      const bySeries = new Map(
        result.json().data.series.map((one: { series: string }) => [one.series, one] as const),
      )
      expect([...bySeries.keys()].sort()).toEqual([
        'binance:spot:BTCUSDT:1h',
        'okx:spot:ETH-USDT:1h',
        'okx:spot:NOPE/USDT:1h',
      ])
      for (const good of ['binance:spot:BTCUSDT:1h', 'okx:spot:ETH-USDT:1h'])
        expect(bySeries.get(good)).toMatchObject({ complete: true, missing: {} })
      expect(bySeries.get('okx:spot:NOPE/USDT:1h')).toMatchObject({
        complete: false,
        problems: [{ code: 'source.unknown-symbol' }],
      })
      const asked = venue.log().map(({ parameters }) => Number(parameters.limit ?? 0))
      expect(Math.max(...asked.filter((limit) => limit > 1 && limit < 300))).toBe(10)
    })
  })

  test('exit 0 only when complete', async () => {
    await inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'everybar.yaml'), yaml.replace('{ symbol: NOPE/USDT, timeframes: [1h] }, ', ''))
      expect((await runHere(history, { cwd, env: env() })).code).toBe(0)
    })
  })

  test.each([
    [['--mode', 'live'], 'cli.usage'],
    [['--start', '2024', '--from', '2024'], 'cli.usage'],
    [['--backoff-base', 'fast'], 'config.wrong-type'],
    [['--dataset', 'd'], 'config.missing'],
  ])('%j: %s', async (flags, code) => {
    await inFolder(async (cwd) => {
      const result = await runHere(['sync', 'binance:spot:BTCUSDT:1h', ...flags, '--json'], {
        cwd,
        env: env(),
      })
      expect([result.code, result.json().error?.code]).toEqual([2, code])
    })
  })

  test('every key event reaches Loki, the first before anything is opened', async () => {
    const loki = await startLoki()
    try {
      await inFolder(async (cwd) => {
        venue.setFaults('klines:500@2')
        const command = ['sync', 'binance:spot:BTCUSDT:1h', '--from', '2024-02-01', '--to', '2024-02-03']
        const named = { LOKI_URL: loki.url, SERVICE_NAME: 'tda', ENVIRONMENT: 'test' }
        const result = await runHere([...command, '--root', 'data'], { cwd, env: { ...env(), ...named } })
        expect([result.code, result.stderr]).toEqual([0, expect.not.stringContaining('Loki')])
        const events = loki.lines.map(({ line }) => line.event)
        expect(events[0]).toBe('config_loaded')
        for (const event of [
          'fetch_start',
          'fetch_ok',
          'backoff_retry',
          'history_page_done',
          'history_complete',
        ])
          expect(events).toContain(event)
        const { labels, line } = loki.lines.find((one) => one.line.event === 'history_page_done')!
        expect(labels).toEqual({
          ...{
            service_name: 'tda',
            environment: 'test',
            exchange: 'binance',
            mode: 'history',
            level: 'info',
          },
        })
        expect(line).toMatchObject({ symbol: 'BTCUSDT', timeframe: '1h', rows: expect.any(Number) })
        // A crash before any store is opened leaves its trace too.
        writeFileSync(join(cwd, 'file'), '')
        await runHere([...command, '--root', 'file'], { cwd, env: { ...env(), ...named } })
        expect(loki.lines.at(-1)!.line).toMatchObject({ event: 'run_failed', code: 'root.not-a-folder' })
      })
    } finally {
      venue.setFaults('')
      await loki.close()
    }
  })

  test('Loki refuses: the run is complete all the same, and it is said once', async () => {
    const loki = await startLoki(401)
    try {
      await inFolder(async (cwd) => {
        const command = ['sync', 'binance:spot:BTCUSDT:1h', '--from', '2024-02-01', '--to', '2024-02-03']
        const result = await runHere([...command, '--root', 'data'], {
          cwd,
          env: { ...env(), LOKI_URL: loki.url },
        })
        expect(result.code).toBe(0)
        expect(result.stderr.match(/Loki does not take log lines: it answered 401/g)).toHaveLength(1)
        expect(result.stderr).toMatch(/\d+ log lines did not reach Loki/)
      })
    } finally {
      await loki.close()
    }
  })
})
