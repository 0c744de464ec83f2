import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readLoaderConfig } from '../../src/loader/config.ts'
import { type ConfigChange, loaderSettings, scratch, thrown, writeConfig } from '../loader-lake.ts'

const read = (change: ConfigChange = () => {}, root = scratch()) =>
  readLoaderConfig(writeConfig(root, change))

describe('loader configuration', () => {
  test('a whole file is read, paths made absolute and groups made one list', () => {
    const root = scratch()
    mkdirSync(join(root, 'train'))
    const config = read((s) => {
      s.data_paths!.training_subdir = 'train'
      s.schema!.feature_columns = { a: ['x', 'y'], b: ['y', 'z'] }
    }, root)
    expect(config.rootDir).toBe(root)
    expect(config.dirs).toEqual({ training: join(root, 'train'), prediction: root, incremental: root })
    expect(config.schema.featureColumns).toEqual(['x', 'y', 'z'])
    expect(config.processing.chunk_size).toBe(10_000)
  })

  test('a root is found relative to the file', () => {
    const folder = scratch()
    mkdirSync(join(folder, 'data'))
    const path = join(folder, 'loader.yaml')
    writeFileSync(path, JSON.stringify({ parquet_loader: loaderSettings('./data') }))
    expect(readLoaderConfig(path).rootDir).toBe(join(folder, 'data'))
  })

  /** Every setting of the template is required: leaving any one out is named. */
  const required = Object.entries(loaderSettings('/')).flatMap(([section, settings]) => [
    section,
    ...Object.keys(settings).map((key) => `${section}.${key}`),
  ])
  test.each(required)('without %s nothing is read', async (setting) => {
    const [section, key] = setting.split('.') as [string, string?]
    const fault = await thrown(() =>
      read((s) => {
        if (key) delete s[section]![key]
        else delete s[section]
      }),
    )
    expect(fault.name).toBe('ConfigError')
    expect(fault.code).toBe('loader.config')
    expect(fault.message).toContain(`parquet_loader.${setting}`)
    expect(fault.message).toContain('missing')
  })

  const bad: [string, ConfigChange, string][] = [
    [
      'an unknown setting',
      (s) => (s.schema!.datetime_colum = 'ds'),
      'parquet_loader.schema.datetime_colum: unknown setting',
    ],
    ['a wrong kind', (s) => (s.processing!.chunk_size = '10k'), 'parquet_loader.processing.chunk_size'],
    [
      'an unknown handling',
      (s) => (s.processing!.null_handling = 'zero'),
      'parquet_loader.processing.null_handling',
    ],
    ['a pattern that is none', (s) => (s.file_patterns!.naming_regex = '(('), 'not a regular expression'],
    ['a pattern without parts', (s) => (s.file_patterns!.naming_regex = '(a)(b)'), 'needs seven groups'],
    [
      'a folder outside the root',
      (s) => (s.data_paths!.training_subdir = '../x'),
      'a folder inside root_dir',
    ],
    ['a state file elsewhere', (s) => (s.idempotency!.state_file = '../x'), 'without slashes'],
    [
      'a root that is not there',
      (s) => (s.data_paths!.root_dir = '/nowhere/at/all'),
      'no such folder, found "/nowhere/at/all"',
    ],
    ['a root that is a file', (s) => (s.data_paths!.root_dir = import.meta.filename), 'not a folder'],
    ['no target columns', (s) => (s.schema!.target_columns = []), 'parquet_loader.schema.target_columns'],
    [
      'everything in validation',
      (s) => (s.processing!.validation_split = 1),
      'parquet_loader.processing.validation_split',
    ],
  ]
  test.each(bad)('%s is refused', async (_name, change, message) => {
    const fault = await thrown(() => read(change))
    expect(fault.code).toBe('loader.config')
    expect(fault.message).toContain(message)
  })

  test('all faults are named at once, each with its line', async () => {
    const path = join(scratch(), 'loader.yaml')
    writeFileSync(path, 'parquet_loader:\n  schema:\n    datetime_column: 5\n  audit: yes\n')
    const fault = await thrown(() => readLoaderConfig(path))
    expect(fault.message).toContain('parquet_loader.schema.datetime_column')
    expect(fault.message).toContain('(line 3)')
    expect(fault.message).toContain('parquet_loader.audit')
    expect(fault.message).toContain('(line 4)')
    expect(fault.message).toContain('parquet_loader.data_paths')
    expect(fault.message).toContain(path)
  })

  const unreadable: [string, () => string, string][] = [
    ['no path', () => '', 'no configuration file is named'],
    ['a file that is not there', () => '/nowhere/loader.yaml', 'cannot be read'],
    ['text that is no YAML', () => writeText('a: [1'), 'Flow sequence'],
    ['an empty file', () => writeText(''), 'expected object'],
  ]
  test.each(unreadable)('%s is refused', async (_name, path, message) => {
    const fault = await thrown(() => readLoaderConfig(path()))
    expect(fault.code).toBe('loader.config')
    expect(fault.message).toContain(message)
  })
})

function writeText(text: string): string {
  const path = join(scratch(), 'loader.yaml')
  writeFileSync(path, text)
  return path
}
