import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { httpServer, type TestServer } from '../http-server.ts'
import { type CliResult, inFolder, runCli } from '../run-cli.ts'
import { filesIn } from '../support/root.ts'

/** Each planted where it belongs; letters that YAML, URLs and base64 write in different ways. */
const planted = {
  database: 'hunter1/p w?',
  loki: 'hunter2:lo+ki',
  kiteSecret: 'hunter3-secret',
  kiteToken: 'hunter4-token',
  kiteKey: 'hunter5-key',
  serve: 'hunter6-serve-token',
}
const secretsIn = (text: string): string[] =>
  Object.values(planted)
    .flatMap((secret) => [
      secret,
      encodeURIComponent(secret),
      Buffer.from(`12345:${secret}`).toString('base64'),
    ])
    .filter((form) => text.includes(form))

let venue: Simulator
/** Refuses everything, and says back all it was told. */
let echo: TestServer
const told: string[] = []
beforeAll(async () => {
  venue = await startSimulator({ seed: 3, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
  echo = await httpServer((_n, response, request) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      told.push(Buffer.concat(chunks).toString())
      const { authorization } = request.headers
      const message = `${authorization} is not let in. ${request.url} ${JSON.stringify(request.headers)}`
      const body = JSON.stringify({
        status: 'error',
        error_type: 'InputException',
        message,
        code: -1100,
        msg: message,
      })
      response.writeHead(400, { 'content-type': 'application/json' }).end(body)
    })
  })
})
afterAll(async () => {
  await venue.close()
  await echo.close()
})

const configOf = (kiteUrl: string) => `
root: ./data
series: [binance:spot:BTCUSDT:1h]
sources:
  binance: { base_url: ${venue.url} }
  kite:
    base_url: ${kiteUrl}
    api_key: ${planted.kiteKey}
    api_secret: ${planted.kiteSecret}
    access_token: \${KITE_TOKEN}
stores:
  parquet: { enabled: true }
  postgres:
    url: postgres://everybar:${encodeURIComponent(planted.database)}@127.0.0.1:1/market
    schema_mode: check
fetch: { attempts: 2, backoff_base_ms: 1, backoff_max_ms: 2 }
logs:
  loki: { url: ${echo.baseUrl}, username: "12345", password: "${planted.loki}" }
serve: { token: ${planted.serve} }
`
const env = { KITE_TOKEN: planted.kiteToken, LOKI_PASSWORD: planted.loki }

/** Runs commands in a folder with this configuration; gives all that was said and all that was written. */
async function everything(config: string, commands: readonly (readonly string[])[]) {
  return inFolder(async (cwd) => {
    writeFileSync(join(cwd, 'everybar.yaml'), config)
    const said: { readonly command: string; readonly result: CliResult }[] = []
    for (const command of commands)
      said.push({ command: command.join(' '), result: await runCli(command, { cwd, env }) })
    const files = filesIn(cwd).filter((path) => path !== 'everybar.yaml')
    return { said, files: files.map((path) => ({ path, text: readFileSync(join(cwd, path), 'latin1') })) }
  })
}

const leaksOf = ({ said, files }: Awaited<ReturnType<typeof everything>>): string[] => [
  ...said.flatMap(({ command, result }) =>
    secretsIn(`${result.stdout}\n${result.stderr}`).map((secret) => `"${command}" says ${secret}`),
  ),
  ...files.flatMap(({ path, text }) => secretsIn(text).map((secret) => `${path} holds ${secret}`)),
]

describe('a planted secret', () => {
  test('is in no line, no error, no URL, no manifest, no certificate and no record of a run', async () => {
    const range = ['--from', '2024-01-01', '--to', '2024-02-01']
    const all = await everything(configOf(echo.baseUrl), [
      ['config', 'print'],
      ['config', 'print', '--json'],
      ['config', 'validate', '-vv'],
      ['doctor', '-vv'],
      ['plan', '-vv', ...range],
      ['sync', '-vv', ...range],
      ['sync', '-vv', '--json', 'kite:nse:INFY:1d', ...range],
      ['instruments', 'sync', 'kite', '-vv'],
      ['status', '--json'],
      ['reconcile', '--store', 'postgres', '-vv'],
      ['db', 'apply', '-vv'],
      ['gaps', '--json'],
      ['verify', '-vv', '--certificate', 'proof.json'],
      ['runs', 'list', '--json'],
      ['query', 'SELECT * FROM bars LIMIT 3', '--json'],
    ])
    expect(leaksOf(all)).toEqual([])
    // Not for want of trying: the venue, the database and the log were all reached for.
    const spoken = all.said.map(({ result }) => result.stdout + result.stderr).join('\n')
    expect(spoken).toContain('kite')
    expect(spoken).toContain('127.0.0.1:1')
    expect(all.files.map(({ path }) => path)).toContain('proof.json')
    expect(told.length).toBeGreaterThan(0)
    expect(told.flatMap(secretsIn)).toEqual([])
  })

  test('that a venue took is in nothing that was kept of its answers', async () => {
    const kite = await startKiteSimulator({
      nowMs: Date.parse('2024-03-05T18:00:00+05:30'),
      apiKey: planted.kiteKey,
      apiSecret: planted.kiteSecret,
      accessToken: planted.kiteToken,
      instruments: 2,
    })
    try {
      const all = await everything(configOf(kite.url).replace(/ {2}postgres:\n(.*\n){2}/, ''), [
        ['instruments', 'sync', 'kite', '-vv'],
        ['sync', `kite:nse:${kite.instruments()[0]!.symbol}:1d`, '--from', '2024-02-01', '-vv'],
        ['verify', '--certificate', 'proof.json'],
        ['status', '--json'],
      ])
      expect(leaksOf(all)).toEqual([])
      expect(all.files.some(({ path }) => path.includes('/responses/'))).toBe(true)
    } finally {
      await kite.close()
    }
  })

  const slips: Readonly<Record<string, (config: string) => string>> = {
    'a text without its end': (config) => config.replace(`"${planted.loki}"`, `"${planted.loki}`),
    'a tab for spaces': (config) => config.replace('    api_secret', '\tapi_secret'),
    'a key nobody knows': (config) => config.replace('api_secret:', 'api_secrets:'),
    'a list in its place': (config) => config.replace(planted.kiteSecret, `[${planted.kiteSecret}]`),
    'an address that is none': (config) => config.replace('postgres://everybar', 'postgres//everybar'),
    'an address with a port that is none': (config) => config.replace('127.0.0.1:1/', '127.0.0.1:port/'),
    'a venue with a password': (config) =>
      config.replace(venue.url, `http://me:${planted.serve}@127.0.0.1:1`),
    'a venue with a key': (config) => config.replace(venue.url, `${venue.url}?apiKey=${planted.serve}`),
    'a number for a text': (config) => config.replace('username: "12345"', 'username: 12345'),
    'a key twice': (config) => config.replace('serve:', `serve: { token: ${planted.serve} }\nserve:`),
  }
  test.each(Object.keys(slips))('is not shown by a refusal of its file: %s', async (slip) => {
    const changed = slips[slip]!(configOf(echo.baseUrl))
    expect(changed).not.toBe(configOf(echo.baseUrl))
    const all = await everything(changed, [
      ['config', 'validate'],
      ['status', '--json'],
      ['config', 'print'],
    ])
    expect(leaksOf(all)).toEqual([])
    const [validate] = all.said
    if (slip !== 'an address that is none' && !slip.includes('port'))
      expect(validate!.result.code).not.toBe(0)
  })

  test('in a configuration that is a folder, or on the command line, is not said back', async () => {
    await inFolder(async (cwd) => {
      mkdirSync(join(cwd, planted.serve))
      const results = [
        await runCli(['status', '--password', planted.loki], { cwd }),
        await runCli(['query', `SELECT '${planted.kiteSecret}' FROM nowhere`, '--root', cwd], { cwd }),
      ]
      expect(results.every(({ code }) => code !== 0)).toBe(true)
      expect(secretsIn(results[0]!.stderr)).toEqual([])
    })
  })
})
