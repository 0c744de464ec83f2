import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { nextRun } from '../../src/config/cron.ts'
import type { ConfigError, ConfigFault } from '../../src/config/faults.ts'
import { loadConfig } from '../../src/config/load.ts'
import { configYaml } from '../../src/config/print.ts'
import { isLoopback } from '../../src/config/serve.ts'

function load(yaml: string, env: Record<string, string> = {}) {
  const cwd = mkdtempSync(join(tmpdir(), 'everybar-'))
  try {
    writeFileSync(join(cwd, 'everybar.yaml'), yaml)
    return loadConfig({ cwd, home: cwd, env }).config
  } finally {
    rmSync(cwd, { recursive: true })
  }
}

function faults(yaml: string): readonly ConfigFault[] {
  try {
    load(yaml)
  } catch (error) {
    return (error as ConfigError).faults
  }
  throw new Error('it was taken')
}

describe('jobs', () => {
  test('are read, in UTC unless they name a zone', () => {
    const { jobs } = load(`
jobs:
  - { name: kite-daily, schedule: "0 18 * * 1-5", timezone: Asia/Kolkata, run: kite }
  - { name: prove, schedule: "@daily", run: verify }
kite: {}
`)
    expect(jobs).toEqual([
      { name: 'kite-daily', schedule: '0 18 * * 1-5', timezone: 'Asia/Kolkata', run: 'kite' },
      { name: 'prove', schedule: '@daily', timezone: 'UTC', run: 'verify' },
    ])
  })

  test.each([
    ['an hour there is not', 'name: a, schedule: "0 25 * * *", run: sync', 'schedule', 'Write minute, hour'],
    ['four fields', 'name: a, schedule: "0 18 * *", run: sync', 'schedule', 'Write minute, hour'],
    ['seconds', 'name: a, schedule: "0 0 18 * * *", run: sync', 'schedule', 'Write minute, hour'],
    [
      'a day that never comes',
      'name: a, schedule: "0 0 30 2 *", run: sync',
      'schedule',
      'Write minute, hour',
    ],
    [
      'a zone there is not',
      'name: a, schedule: "0 1 * * *", timezone: Asia/Calcuta, run: sync',
      'timezone',
      'Use a name of the IANA',
    ],
    ['a name in capitals', 'name: Daily, schedule: "0 1 * * *", run: sync', 'name', 'Lower-case letters'],
    ['a deed there is not', 'name: a, schedule: "0 1 * * *", run: synk', 'run', 'did you mean "sync"?'],
  ])('%s is a fault with its line', (_, job, key, hint) => {
    const found = faults(`root: ./data\njobs:\n  - { ${job} }\n`)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject({ path: `jobs.0.${key}`, hint: expect.stringContaining(hint) })
    expect(found[0]!.where).toMatch(/^everybar\.yaml:3:\d+$/)
  })

  test('an import of nothing is a fault', () => {
    expect(faults('jobs:\n  - { name: a, schedule: "0 1 * * *", run: kite }\n')).toMatchObject([
      { path: 'jobs.0.run', where: 'everybar.yaml:2:44', hint: expect.stringContaining('`kite` block') },
    ])
  })

  test('two of one name are a fault at the second', () => {
    const job = '{ name: a, schedule: "0 1 * * *", run: sync }'
    expect(faults(`jobs:\n  - ${job}\n  - ${job}\n`)).toMatchObject([
      { code: 'config.bad-value', path: 'jobs.1.name', where: 'everybar.yaml:3:13' },
    ])
  })
})

describe('serve', () => {
  test('listens on this machine alone unless told otherwise', () => {
    expect(load('root: ./data').serve).toMatchObject({ enabled: false, host: '127.0.0.1', port: 8080 })
    expect(load('root: ./data').jobs).toEqual([])
  })

  test('a token comes from the environment, and is never printed', () => {
    const token = 'a-token-of-some-length'
    const config = load('serve: { host: 0.0.0.0 }', { EVERYBAR_TOKEN: token })
    expect(config.serve.token).toBe(token)
    expect(configYaml(config)).not.toContain(token)
    expect(faults('serve: { token: short }')).toMatchObject([{ path: 'serve.token' }])
    expect(JSON.stringify(faults('serve: { token: "a secret" }'))).not.toContain('a secret')
  })

  test.each([
    ['127.0.0.1', true],
    ['127.1.2.3', true],
    ['localhost', true],
    ['::1', true],
    ['0.0.0.0', false],
    ['::', false],
    ['192.168.0.2', false],
    ['127.0.0.1.example.com', false],
  ])('%s is this machine alone: %s', (host, loopback) => expect(isLoopback(host)).toBe(loopback))
})

describe('a schedule', () => {
  const times = (schedule: string, zone: string, from: string, count: number) => {
    const found: string[] = []
    for (let at = Date.parse(from); found.length < count; at = nextRun(schedule, zone, at)!)
      found.push(new Date(nextRun(schedule, zone, at)!).toISOString())
    return found
  }

  test('is meant by its zone’s clock', () => {
    expect(times('0 18 * * 1-5', 'Asia/Kolkata', '2024-03-15T12:29:59Z', 3)).toEqual([
      '2024-03-15T12:30:00.000Z',
      '2024-03-18T12:30:00.000Z',
      '2024-03-19T12:30:00.000Z',
    ])
  })

  test('comes once on the day an hour is skipped, and once on the day it comes twice', () => {
    expect(times('30 2 * * *', 'Europe/Berlin', '2024-03-30T12:00Z', 2)).toEqual([
      '2024-03-31T01:00:00.000Z',
      '2024-04-01T00:30:00.000Z',
    ])
    expect(times('30 2 * * *', 'Europe/Berlin', '2024-10-26T12:00Z', 2)).toEqual([
      '2024-10-27T00:30:00.000Z',
      '2024-10-28T01:30:00.000Z',
    ])
  })
})
