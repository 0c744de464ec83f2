import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadConfig } from '../../src/config/load.ts'
import { configJsonSchema, configYaml, REDACTED, redactConfig } from '../../src/config/print.ts'
import { configSchema, secret } from '../../src/config/schema.ts'
import { leavesOf } from '../../src/config/shape.ts'
import { configTemplate } from '../../src/config/template.ts'
import { nearest } from '../../src/model/nearest.ts'
import { inFolder } from '../run-cli.ts'

const load = (yaml: string) =>
  inFolder((cwd) => {
    writeFileSync(join(cwd, 'everybar.yaml'), yaml)
    return loadConfig({ cwd, home: '/home/me', env: {} }).config
  })

describe('the published JSON Schema', () => {
  test('is the schema in force (else: node scripts/write-schema.ts)', () => {
    const published = readFileSync(new URL('../../docs/everybar.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(published)).toEqual(configJsonSchema())
  })

  test('explains every setting but the plain timeouts', () => {
    const schema = JSON.stringify(configJsonSchema())
    expect(schema.match(/"description"/g)!.length).toBeGreaterThan(25)
    expect(schema).toContain('"additionalProperties":false')
  })
})

describe('printing', () => {
  test('reads back as the same configuration', async () => {
    const config = await load('root: /x\nseries: ["binance:spot:A:1m"]\nfetch: { concurrency: 3 }')
    expect(await load(configYaml(config))).toEqual(config)
  })

  test('never shows what the schema marks as secret', () => {
    const schema = z.strictObject({
      url: z.string(),
      login: z
        .strictObject({ user: z.string(), password: z.string().meta(secret).optional() })
        .prefault({ user: 'u' }),
      keys: z.array(z.strictObject({ key: z.string().meta(secret) })),
    })
    const config = { url: 'x', login: { user: 'me', password: 'pw' }, keys: [{ key: 'k1' }] }
    expect(redactConfig(config, schema)).toEqual({
      url: 'x',
      login: { user: 'me', password: REDACTED },
      keys: [{ key: REDACTED }],
    })
  })
})

describe('the file that init writes', () => {
  const template = configTemplate('./schema.json')

  test('points editors at the schema in its first line', () => {
    expect(template.split('\n')[0]).toBe('# yaml-language-server: $schema=./schema.json')
  })

  test('holds as it stands', async () => {
    const config = await load(template)
    expect(config.series).toEqual(['binance:spot:BTCUSDT:1m'])
  })

  test('holds with every line uncommented, and shows nothing but defaults', async () => {
    const config = await load(template.replace(/^#(?=[ ]*[a-z_]+:|[ ]+- )/gm, ''))
    expect(config.series.length).toBe(4)
    const { root: _, series: __, ...rest } = config
    const { root: ___, series: ____, ...defaults } = configSchema.parse({})
    expect(rest).toEqual(defaults)
  })

  test('names every setting', () => {
    for (const leaf of leavesOf(configSchema)) {
      const key = leaf.at(-1)!
      if (leaf[0] !== 'series') expect(template, key).toMatch(new RegExp(`^[# ]*${key}:`, 'm'))
    }
  })
})

describe('did you mean', () => {
  const known = ['venue', 'market', 'symbol', 'timeframe', 'from', 'to']
  test.each([
    ['venu', 'venue'],
    ['Venue', 'venue'],
    ['vneue', 'venue'],
    ['time_frame', 'timeframe'],
    ['form', 'from'],
    ['tp', 'to'],
    ['colour', undefined],
    ['', undefined],
  ])('%s: %s', (word, expected) => expect(nearest(word, known)).toBe(expected))
})
