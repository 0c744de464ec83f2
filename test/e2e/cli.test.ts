import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { inFolder, runCli } from '../run-cli.ts'

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))

describe('help and version', () => {
  test('--version is the package’s', async () => {
    const { code, stdout, stderr } = await runCli(['--version'])
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('--help names every command, on stdout', async () => {
    const { code, stdout, stderr } = await runCli(['--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const commands = 'init plan sync status gaps verify query runs config doctor simulate'
    for (const name of commands.split(' ')) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
  })

  test.each([
    ['sync', '--help'],
    ['help', 'sync'],
  ])('%s %s shows the options of sync', async (...args) => {
    const { code, stdout } = await runCli(args)
    expect(code).toBe(0)
    for (const option of ['--from', '--to', '--series-file', '-s, --series', '--root', '--json']) {
      expect(stdout).toContain(option)
    }
  })

  test('no command: help on stderr, exit 2', async () => {
    const { code, stdout, stderr } = await runCli([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: everybar')
  })
})

describe('usage errors: exit 2, one line, one hint, nothing on stdout', () => {
  const one = 'binance:spot:BTCUSDT:1m'
  test.each<[args: string, code: string, hint: string]>([
    ['synk', 'cli.usage', 'did you mean sync?'],
    ['sync --form 2018', 'cli.usage', 'did you mean --from?'],
    ['sync --root', 'cli.usage', 'everybar sync --help'],
    ['query', 'cli.usage', 'everybar query --help'],
    ['query x --format xml', 'cli.usage', 'everybar query --help'],
    ['runs list -n 0', 'cli.usage', 'everybar runs --help'],
    ['simulate --port 99999', 'cli.usage', 'everybar simulate --help'],
    ['simulate --now -3d', 'cli.bad-time', 'ISO 8601'],
    ['sync', 'cli.no-series', 'binance:spot:BTCUSDT:1m'],
    ['plan btc', 'series.bad-selector', 'venue:market:symbol:timeframe'],
    ['plan binance:spot:BTCUSDT:7q', 'timeframe.unknown', '1m, 4h'],
    [`plan ${one} --from 2018-02-30`, 'cli.bad-time', 'ISO 8601'],
    [`plan ${one} --from 2018 --to 2017`, 'cli.range-reversed', 'Swap them'],
    [`plan ${one} --from -1d --to -30d`, 'cli.range-reversed', 'Swap them'],
    [`plan ${one} --series-file nope.txt`, 'cli.series-file', 'one venue:market:symbol:timeframe per line'],
    [`plan ${one} --config nope.yaml`, 'config.not-found', 'everybar init'],
  ])('%s', async (line, code, hint) => {
    const result = await runCli(line.split(' '))
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 2, stdout: '' })
    expect(result.stderr).toMatch(new RegExp(`^error\\[${code.replace('.', '\\.')}\\] .*\nhint: .*\n$`))
    expect(result.stderr).toContain(hint)

    const { ok, error } = (await runCli(['--json', ...line.split(' ')])).json()
    expect({ ok, code: error?.code }).toEqual({ ok: false, code })
  })
})

describe('the configuration', () => {
  test('init writes a file that validates, and never overwrites one', () =>
    inFolder(async (cwd) => {
      expect((await runCli(['init'], { cwd })).code).toBe(0)
      const written = readFileSync(join(cwd, 'everybar.yaml'), 'utf8')
      const schema = /^# yaml-language-server: \$schema=(.*)$/m.exec(written)?.[1]
      expect(schema && existsSync(schema), 'the schema it points at is there').toBe(true)

      const valid = await runCli(['config', 'validate', '--json'], { cwd })
      expect(valid.json()).toMatchObject({ ok: true, code: 0, data: { series: 1 } })

      const again = await runCli(['init'], { cwd })
      expect(again.code).toBe(2)
      expect(again.stderr).toContain('error[config.exists]')
      expect(readFileSync(join(cwd, 'everybar.yaml'), 'utf8')).toBe(written)
    }))

  test('every fault with its place, in words and as data', () =>
    inFolder(async (cwd) => {
      writeFileSync(
        join(cwd, 'everybar.yaml'),
        'ledger: sqllite\nseries:\n  - { venu: binance, market: spot, symbol: A, timeframe: 1m }\n',
      )
      const { code, stdout, stderr } = await runCli(['config', 'validate'], { cwd })
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
      expect(stderr).toBe(
        'error[config.bad-value] everybar.yaml:1:9 ledger: expected sqlite or manifest, found "sqllite"\n' +
          'hint: did you mean "sqlite"?\n' +
          'error[config.unknown-key] everybar.yaml:3:7 series.0.venu: unknown setting\n' +
          'hint: did you mean "venue"?\n',
      )
      const { error } = (await runCli(['config', 'validate', '--json'], { cwd })).json()
      expect(error?.code).toBe('config.invalid')
      expect(error?.faults?.map((fault) => fault.path)).toEqual([
        'everybar.yaml:1:9 ledger',
        'everybar.yaml:3:7 series.0.venu',
      ])
    }))

  test('print shows what is in force: flag over environment over file over default', () =>
    inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'other.yaml'), 'root: /file\nfetch: { attempts: 9, concurrency: 9 }\n')
      const { data } = (
        await runCli(['config', 'print', '--json', '--root', '/flag'], {
          cwd,
          env: { EVERYBAR_CONFIG: 'other.yaml', EVERYBAR_DATA_ROOT: '/env', EVERYBAR__FETCH__ATTEMPTS: '3' },
        })
      ).json()
      expect(data.root).toBe('/flag')
      expect(data.fetch).toMatchObject({ attempts: 3, concurrency: 9, backoff_base_ms: 1_000 })
    }))

  test('schema prints the published one', async () => {
    const { stdout } = await runCli(['config', 'schema'])
    const published = readFileSync(new URL('../../docs/everybar.schema.json', import.meta.url), 'utf8')
    expect(JSON.parse(stdout)).toEqual(JSON.parse(published))
  })
})

describe('doctor', () => {
  test('says what is wrong with the root', () =>
    inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'file'), '')
      const { data } = (await runCli(['doctor', '--json', '--root', 'file'], { cwd })).json()
      const of = (name: string) => data.find((check: { name: string }) => check.name === name)
      expect(of('node')).toMatchObject({ state: 'pass' })
      expect(of('duckdb')).toMatchObject({ state: 'pass' })
      expect(of('root')).toMatchObject({ state: 'fail', hint: expect.stringContaining('--root') })
    }))
})
