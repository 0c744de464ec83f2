import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readLoaderConfig } from '../../src/loader/config.ts'
import { datasetHash } from '../../src/model/lake.ts'
import { makeLake, scratch } from '../loader-lake.ts'
import { runDocExamples } from '../run-doc-examples.ts'

const doc = (name: string) =>
  readFileSync(fileURLToPath(new URL(`../../docs/${name}`, import.meta.url)), 'utf8')

/** Three weeks of minutes, and the template of the configuration for them. */
const root = scratch()
await makeLake(root, 'binance:spot:BTCUSDT:1m', Date.UTC(2024, 0, 1), 30_000)
const yaml = join(scratch(), 'loader.yaml')
writeFileSync(yaml, doc('loader.yaml').replace('./data/lake/binance', join(root, 'lake', 'binance')))

test('the template of the configuration is whole', () => {
  const config = readLoaderConfig(yaml)
  expect(config.schema.featureColumns).toEqual(['open', 'high', 'low', 'volume'])
  const name = `BTCUSDT_1min_h0_2024_01_${datasetHash('binance', 'spot', 'trade')}.parquet`
  expect(config.naming.test(name)).toBe(true)
})

test('the guide names every setting, and troubleshooting every error', () => {
  const codes = [...doc('errors.md').matchAll(/^### (loader\.\S+)$/gm)].map((match) => match[1]!)
  expect(codes.length).toBeGreaterThan(20)
  expect(codes.filter((code) => !doc('loader-troubleshooting.md').includes(`\`${code}\``))).toEqual([])
})

runDocExamples('docs/loader.md', { env: { LOADER_YAML: yaml, EVERYBAR_DATA: root } })
