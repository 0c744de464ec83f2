import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { configuredSeries } from '../../src/config/series.ts'
import { inFolder } from '../run-cli.ts'

const load = (yaml: string, env: Record<string, string> = {}) =>
  inFolder(async (cwd) => {
    writeFileSync(join(cwd, 'everybar.yaml'), yaml)
    return loadConfig({ cwd, home: '/home/me', env }).config
  })

describe("a collector's configuration", () => {
  test('exchanges are series: spot, or swap where the symbol names what it settles in', async () => {
    const config = await load(`
exchanges:
  kraken: [{ symbol: BTC/USD, timeframes: [1h, 1d] }]
  bybit: [{ symbol: "BTC/USDT:USDT", timeframes: [1m] }, { symbol: BTCUSD, timeframes: [1m], market: future }]
`)
    expect(configuredSeries(config).map(({ pattern }) => pattern)).toEqual([
      'kraken:spot:BTC/USD:1h',
      'kraken:spot:BTC/USD:1d',
      'bybit:swap:BTC/USDT:USDT:1m',
      'bybit:future:BTCUSD:1m',
    ])
  })

  test('waits are five tries, a second, doubled, 32 at most; 2 and 30 after a rate limit', async () => {
    const { fetch } = await load('')
    expect(fetch).toMatchObject({
      attempts: 5,
      backoff_base_ms: 1_000,
      backoff_factor: 2,
      backoff_max_ms: 32_000,
    })
    expect(fetch).toMatchObject({ rate_limit_base_ms: 2_000, rate_limit_max_ms: 30_000 })
  })

  const cases: [string, string, Record<string, string>, object | undefined][] = [
    ['LOKI_URL alone switches it on', '', { LOKI_URL: 'http://l:3100' }, { url: 'http://l:3100' }],
    [
      'user and password go with it',
      '',
      { LOKI_URL: 'http://l:3100', LOKI_USERNAME: 'u', LOKI_PASSWORD: 'p' },
      { username: 'u', password: 'p' },
    ],
    ['a password alone says nothing', '', { LOKI_PASSWORD: 'p' }, undefined],
    [
      'a password for what the file has',
      'logs: { loki: { url: "http://f" } }',
      { LOKI_PASSWORD: 'p' },
      { url: 'http://f', password: 'p' },
    ],
    [
      'the environment wins over the file',
      'logs: { loki: { url: "http://f" } }',
      { LOKI_URL: 'http://e' },
      { url: 'http://e' },
    ],
    [
      'the prefix wins over the plain name',
      '',
      { LOKI_URL: 'http://e', EVERYBAR__LOGS__LOKI__URL: 'http://p' },
      { url: 'http://p' },
    ],
  ]
  test.each(cases)('%s', async (_name, yaml, env, expected) => {
    const { loki } = (await load(yaml, env)).logs
    if (expected === undefined) expect(loki).toBeUndefined()
    else expect(loki).toMatchObject(expected)
  })

  test('SERVICE_NAME, ENVIRONMENT, BQ_DATASET and BQ_TABLE', async () => {
    const env = { SERVICE_NAME: 'tda', ENVIRONMENT: 'staging', BQ_DATASET: 'd', BQ_TABLE: 't' }
    const config = await load('stores: { bigquery: { project: p } }', env)
    expect(config.logs).toMatchObject({ service_name: 'tda', environment: 'staging' })
    expect(config.stores.bigquery).toMatchObject({ project: 'p', dataset: 'd', table: 't' })
    expect((await load('', env)).stores.bigquery).toBeUndefined()
  })
})
