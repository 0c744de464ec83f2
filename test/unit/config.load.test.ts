import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/faults.ts'
import { type LoadOptions, loadConfig } from '../../src/config/load.ts'
import { configuredSeries } from '../../src/config/series.ts'
import { inFolder } from '../run-cli.ts'

type Env = Record<string, string>

/** Loads `yaml` as `everybar.yaml` of a folder of its own. */
const load = (yaml: string | undefined, env: Env = {}, more: Partial<LoadOptions> = {}) =>
  inFolder((cwd) => {
    if (yaml !== undefined) writeFileSync(join(cwd, 'everybar.yaml'), yaml)
    const { config, file } = loadConfig({ cwd, home: '/home/me', env, ...more })
    return { config, file: file?.replace(cwd, '.'), root: config.root.replace(cwd, '.') }
  })

/** Every fault as `code where path`, and the hints beside them. */
async function faults(yaml: string | undefined, env: Env = {}) {
  try {
    await load(yaml, env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return {
      error,
      lines: error.faults.map(({ code, where, path }) => `${code} ${where} ${path}`.trimEnd()),
      messages: error.faults.map(({ message }) => message),
      hints: error.faults.map(({ hint }) => hint),
    }
  }
  throw new Error('nothing was refused')
}

describe('a configuration that holds', () => {
  test('without a file the defaults serve', async () => {
    const { config, file, root } = await load(undefined)
    expect(file).toBeUndefined()
    expect(root).toBe('/home/me/everybar_data')
    expect(config.ledger).toBe('sqlite')
    expect(config.sources.binance.base_url).toBe('https://api.binance.com')
  })

  test.each<[string, string]>([
    ['an empty file', ''],
    ['only comments', '# nothing\n'],
    ['sections with nothing in them', 'fetch:\nsources:\n  binance:\nseries:\n'],
    ['a mark of byte order', '\ufeffledger: sqlite\n'],
    ['Windows line ends', 'ledger: sqlite\r\nseries: []\r\n'],
  ])('%s is the defaults', async (_, yaml) => {
    expect((await load(yaml)).config.series).toEqual([])
  })

  test.each<[from: string, yaml: string | undefined, env: Env, flag: string | undefined, root: string]>([
    ['default', undefined, {}, undefined, '/home/me/everybar_data'],
    ['file, relative to it', 'root: data', {}, undefined, './data'],
    ['file, home', 'root: ~/x', {}, undefined, '/home/me/x'],
    ['environment over file', 'root: data', { EVERYBAR__ROOT: '/e' }, undefined, '/e'],
    [
      'its own variable over the general one',
      'root: a',
      { EVERYBAR__ROOT: '/e', EVERYBAR_DATA_ROOT: '/d' },
      undefined,
      '/d',
    ],
    ['flag over all', 'root: data', { EVERYBAR_DATA_ROOT: '/d' }, '/f', '/f'],
    [
      'an empty variable is no answer',
      undefined,
      { EVERYBAR_DATA_ROOT: '' },
      undefined,
      '/home/me/everybar_data',
    ],
  ])('root: %s', async (_, yaml, env, flag, expected) => {
    expect((await load(yaml, env, { flags: { root: flag } })).root).toBe(expected)
  })

  test('a relative --root and a relative variable count from the working folder', async () => {
    expect((await load('root: /x', {}, { flags: { root: 'mine' } })).root).toBe('./mine')
    expect((await load('root: /x', { EVERYBAR_DATA_ROOT: 'mine' })).root).toBe('./mine')
  })

  test.each<[name: string, value: string, pick: string, expected: unknown]>([
    [
      'EVERYBAR__SOURCES__BINANCE__BASE_URL',
      'http://127.0.0.1:9/x/',
      'sources.binance.base_url',
      'http://127.0.0.1:9/x',
    ],
    ['everybar__fetch__concurrency', '3', 'fetch.concurrency', 3],
    ['EVERYBAR__Sources__Binance__Limits__Share', '0.5', 'sources.binance.limits.share', 0.5],
    ['EVERYBAR__STORES__PARQUET__ENABLED', 'false', 'stores.parquet.enabled', false],
    [
      'EVERYBAR__SERIES',
      'binance:spot:A:1m, binance:spot:B:1h',
      'series',
      ['binance:spot:A:1m', 'binance:spot:B:1h'],
    ],
  ])('%s=%s', async (name, value, pick, expected) => {
    const { config } = await load('fetch: { concurrency: 9 }', { [name]: value })
    const found = pick.split('.').reduce((at, key) => (at as Record<string, unknown>)[key], config as unknown)
    expect(found).toEqual(expected)
  })

  test.each<[yaml: string, env: Env, share: number]>([
    ['${SHARE}', { SHARE: '0.25' }, 0.25],
    ['"${SHARE}"', { SHARE: '0.25' }, 0.25],
    ['${SHARE:-0.5}', {}, 0.5],
    ['${SHARE:-0.5}', { SHARE: '' }, 0.5],
    ['${SHARE:?say how much}', { SHARE: '1' }, 1],
    ['0.${DIGITS}', { DIGITS: '75' }, 0.75],
  ])('%s with %j is %d', async (value, env, share) => {
    const { config } = await load(
      `sources: {binance: {limits:\n {share: ${value.startsWith('"') ? value : `"${value}"`}}}}`,
      env,
    )
    expect(config.sources.binance.limits.share).toBe(share)
  })

  test('$${ stands for itself, and what was filled in is not looked at again', async () => {
    expect((await load('root: /$${HOME}/${A}', { A: '${B}' })).root).toBe('/${HOME}/${B}')
  })

  test('another file, by flag, then by variable', () =>
    inFolder((cwd) => {
      for (const name of ['a', 'b', 'c']) writeFileSync(join(cwd, `${name}.yaml`), `root: /${name}`)
      const rootOf = (env: Env, file?: string) => loadConfig({ cwd, home: '/h', env, file }).config.root
      expect(rootOf({ EVERYBAR_CONFIG: 'b.yaml', CONFIG_PATH: 'c.yaml' }, 'a.yaml')).toBe('/a')
      expect(rootOf({ EVERYBAR_CONFIG: 'b.yaml', CONFIG_PATH: 'c.yaml' })).toBe('/b')
      expect(rootOf({ CONFIG_PATH: 'c.yaml' })).toBe('/c')
    }))

  test('nobody can change it', async () => {
    const { config } = await load('fetch: { concurrency: 9 }')
    expect(Object.isFrozen(config) && Object.isFrozen(config.sources.binance.limits)).toBe(true)
  })

  test('series: selectors and parts, every symbol with every timeframe', async () => {
    const { config } = await load(`
series:
  - binance:spot:BTCUSDT:1m
  - { venue: binance, market: um, symbol: [ETHUSDT, "0123"], timeframe: [1m, 1M], from: 2024, to: 2024-03 }
  - { venue: binance, market: um, symbol: BTCUSDT, timeframe: 1h, price: mark, from: -30d }
`)
    const at = (year: number, month: number) => ({ kind: 'at', ms: Date.UTC(year, month - 1) })
    const ends = { from: at(2024, 1), to: at(2024, 3) }
    expect(configuredSeries(config)).toEqual([
      { pattern: 'binance:spot:BTCUSDT:1m' },
      { pattern: 'binance:um:ETHUSDT:1m', ...ends },
      { pattern: 'binance:um:ETHUSDT:1M', ...ends },
      { pattern: 'binance:um:0123:1m', ...ends },
      { pattern: 'binance:um:0123:1M', ...ends },
      { pattern: 'binance:um:BTCUSDT:1h@mark', from: { kind: 'ago', ms: 30 * 86_400_000 } },
    ])
  })
})

describe('a configuration with faults', () => {
  const series = (parts: string) =>
    `series:\n  - { venue: binance, market: spot, symbol: A, timeframe: 1m, ${parts} }`

  test.each<[yaml: string, line: string, hint: string]>([
    [
      'series:\n  - venu: binance\n    market: spot\n    symbol: A\n    timeframe: 1m',
      'config.unknown-key everybar.yaml:2:5 series.0.venu',
      'did you mean "venue"?',
    ],
    [
      'sources: { kraken: {} }',
      'config.unknown-key everybar.yaml:1:12 sources.kraken',
      'known here: binance',
    ],
    ['zzzzzz: 1', 'config.unknown-key everybar.yaml:1:1 zzzzzz', 'known here: root, archive'],
    ['ledger: sqllite', 'config.bad-value everybar.yaml:1:9 ledger', 'did you mean "sqlite"?'],
    [
      'fetch:\n  concurrency: many',
      'config.wrong-type everybar.yaml:2:16 fetch.concurrency',
      'Give a number.',
    ],
    [
      'fetch:\n  concurrency: 1.5',
      'config.wrong-type everybar.yaml:2:16 fetch.concurrency',
      'Give a whole number.',
    ],
    ['fetch:\n  concurrency: 0', 'config.bad-value everybar.yaml:2:16 fetch.concurrency', 'at least 1'],
    [
      'fetch:\n  concurrency: .nan',
      'config.wrong-type everybar.yaml:2:16 fetch.concurrency',
      'Give a number.',
    ],
    ['fetch: 7', 'config.wrong-type everybar.yaml:1:8 fetch', 'key: value'],
    ['- a', 'config.wrong-type everybar.yaml:1:1', 'key: value'],
    [
      'sources: { binance: { limits: { share: 0 } } }',
      'config.bad-value everybar.yaml:1:40 sources.binance.limits.share',
      'more than 0',
    ],
    ['series: binance:spot:A:1m', 'config.wrong-type everybar.yaml:1:9 series', 'Give a list.'],
    ['series: [btc]', 'config.bad-value everybar.yaml:1:10 series.0', 'venue:market:symbol:timeframe'],
    ['series: ["binance:spot:A:7q"]', 'config.bad-value everybar.yaml:1:10 series.0', 'count and a unit'],
    [
      'stores: { bigquery: { dataset: crypto } }',
      'config.missing everybar.yaml:1:11 stores.bigquery.project',
      'or set EVERYBAR__STORES__BIGQUERY__PROJECT',
    ],
    ['series: [3]', 'config.wrong-type everybar.yaml:1:10 series.0', 'quote it: "3"'],
    [
      'series:\n  - { venue: binance, market: spot, symbol: A }',
      'config.missing everybar.yaml:2:5 series.0.timeframe',
      'Add it.',
    ],
    [
      'series:\n  - { venue: binance, market: spot, symbol: 0123, timeframe: 1m }',
      'config.wrong-type everybar.yaml:2:45 series.0.symbol',
      'unquoted 0123 as the number 123; quote it: "0123"',
    ],
    [
      'series:\n  - { venue: binance, market: spot, symbol: [A, 1e3], timeframe: 1m }',
      'config.wrong-type everybar.yaml:2:49 series.0.symbol.1',
      'unquoted 1e3 as the number 1000; quote it: "1e3"',
    ],
    [
      'series:\n  - { venue: binance, market: spot, symbol: true, timeframe: 1m }',
      'config.wrong-type everybar.yaml:2:45 series.0.symbol',
      'quote it: "true"',
    ],
    [series('from: 2024-13'), 'config.bad-value everybar.yaml:2:69 series.0.from', 'ISO 8601'],
    [series('from: 1514764800000'), 'config.bad-value everybar.yaml:2:69 series.0.from', 'at most 5137'],
    [
      series('from: 2024, to: 2023'),
      'config.bad-value everybar.yaml:2:69 series.0.from',
      'The range holds its start',
    ],
    ['a: 1\na: 2', 'config.duplicate-key everybar.yaml:2:1', 'Keep one'],
    ['series:\n - a\n  b: [', 'config.syntax everybar.yaml:3:7', 'indentation'],
    ['root: ${NOPE}', 'config.unset-variable everybar.yaml:1:7 root', 'Set NOPE'],
    ['root: "${NOPE:?where to}"', 'config.unset-variable everybar.yaml:1:7 root', 'Set NOPE'],
    ['root: ${1X}', 'config.bad-reference everybar.yaml:1:7 root', '${NAME:-default}'],
    ['a: &a [*a]', 'config.too-large everybar.yaml', '--series-file'],
  ])('%j', async (yaml, line, hint) => {
    const { lines, hints } = await faults(yaml)
    const at = lines.indexOf(line)
    expect(lines, lines.join('; ')).toContain(line)
    expect(hints[at]).toContain(hint)
  })

  test.each([
    'ftp://x.com',
    'x.com',
    'http://',
    'https://user:pw@x.com',
    'https://x.com?a=b',
    'https://x.com/#a',
    'file:///etc/passwd',
    'javascript:alert(1)',
  ])('base_url %s is refused', async (url) => {
    const { lines, messages } = await faults(undefined, { EVERYBAR__SOURCES__BINANCE__BASE_URL: url })
    expect(lines).toEqual(['config.bad-value EVERYBAR__SOURCES__BINANCE__BASE_URL sources.binance.base_url'])
    expect(messages.join()).not.toContain('pw')
  })

  test.each<[name: string, value: string, line: string, hint: string]>([
    [
      'EVERYBAR__SOURCES__BINANCE__BASE_UR',
      'x',
      'config.unknown-variable environment EVERYBAR__SOURCES__BINANCE__BASE_UR',
      'did you mean EVERYBAR__SOURCES__BINANCE__BASE_URL?',
    ],
    ['EVERYBAR__SOURCES', 'x', 'config.unknown-variable environment EVERYBAR__SOURCES', ''],
    ['EVERYBAR__', 'x', 'config.unknown-variable environment EVERYBAR__', 'Unset it'],
    [
      'EVERYBAR__FETCH__ATTEMPTS',
      'six',
      'config.wrong-type EVERYBAR__FETCH__ATTEMPTS fetch.attempts',
      'Give a number.',
    ],
    ['EVERYBAR__LEDGER__X', '1', 'config.unknown-variable environment EVERYBAR__LEDGER__X', ''],
    ['EVERYBAR__CONSTRUCTOR', '1', 'config.unknown-variable environment EVERYBAR__CONSTRUCTOR', ''],
  ])('%s=%s', async (name, value, line, hint) => {
    const { lines, hints } = await faults(undefined, { [name]: value })
    expect(lines).toEqual([line])
    expect(hints[0]).toContain(hint)
  })

  test('are all reported at once, in the order of the file, each once', async () => {
    const { error, lines } = await faults(
      'ledger: x\nfetch:\n  attempts: 0\n  concurency: 3\narchive: 5\nroot: ${NOPE}\nsources: { binance: { base_url: 3 } }',
      { EVERYBAR__NOPE: '1' },
    )
    expect(lines).toEqual([
      'config.bad-value everybar.yaml:1:9 ledger',
      'config.bad-value everybar.yaml:3:13 fetch.attempts',
      'config.unknown-key everybar.yaml:4:3 fetch.concurency',
      'config.wrong-type everybar.yaml:5:10 archive',
      'config.unset-variable everybar.yaml:6:7 root',
      'config.wrong-type everybar.yaml:7:33 sources.binance.base_url',
      'config.unknown-variable environment EVERYBAR__NOPE',
    ])
    expect(error.code).toBe('config.invalid')
    expect(error.message).toBe('7 faults in everybar.yaml')
  })

  test('files that are not there, not files, not text', () =>
    inFolder((cwd) => {
      mkdirSync(join(cwd, 'folder'))
      writeFileSync(join(cwd, 'binary'), new Uint8Array([0xff, 0xfe, 0x00]))
      const codeOf = (file: string) => {
        try {
          loadConfig({ cwd, home: '/h', env: {}, file })
          return 'fine'
        } catch (error) {
          return error instanceof ConfigError ? error.code : String(error)
        }
      }
      expect(['nope.yaml', 'folder', 'binary'].map(codeOf)).toEqual([
        'config.not-found',
        'config.not-readable',
        'config.not-readable',
      ])
    }))
})
