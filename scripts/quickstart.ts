/**
 * The main job in one go, without a key and without the internet: a simulated venue on localhost, two symbols, 30 days of
 * one-minute bars. Each command is printed before it runs, so that it can be typed again.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../bin/everybar.js', import.meta.url))
const root = process.env.EVERYBAR_QUICKSTART_ROOT ?? mkdtempSync(join(tmpdir(), 'everybar-quickstart-'))
const series = ['binance:spot:BTCUSDT:1m', 'binance:spot:ETHUSDT:1m']
const from = '2024-01-01'
const to = '2024-01-31'

function say(text: string): void {
  console.log(`\n${text}`)
}

function everybar(...args: readonly string[]): void {
  say(`$ everybar ${args.map((arg) => (/[\s*'"]/.test(arg) ? `"${arg}"` : arg)).join(' ')}`)
  const { status } = spawnSync(process.execPath, [bin, ...args], { stdio: 'inherit', env })
  if (status !== 0) {
    console.error(`\neverybar ended with exit code ${status}`)
    venue.kill()
    process.exit(status ?? 1)
  }
}

const simulate = ['simulate', '--synthetic', '--seed', '1', '--now', '2024-02-01', '--port', '0']
say(`$ everybar ${simulate.join(' ')} &`)
const venue = spawn(process.execPath, [bin, ...simulate, '--json', '--quiet'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.on('exit', () => venue.kill())
const url = await new Promise<string>((resolve, reject) => {
  let text = ''
  venue.stdout.on('data', (piece: Buffer) => {
    text += piece
    const found = /http:\/\/127\.0\.0\.1:\d+/.exec(text)
    if (found) resolve(found[0])
  })
  venue.on('exit', (code) => reject(new Error(`the simulated venue ended with exit code ${code}`)))
})
const env = { ...process.env, EVERYBAR__SOURCES__BINANCE__BASE_URL: url }
say(`$ export EVERYBAR__SOURCES__BINANCE__BASE_URL=${url}`)

const range = ['--from', from, '--to', to, '--root', root]
everybar('sync', ...series, ...range)
everybar('status', '--root', root)
everybar('verify', '--root', root)
everybar(
  'query',
  'SELECT symbol, count(*) AS bars, min(open_time) AS first, max(open_time) AS last, round(avg(close), 2) AS mean_close FROM bars GROUP BY symbol ORDER BY symbol',
  '--root',
  root,
)
venue.kill()
say(`Every bar is in ${root}: the venue's own answers under binance/, Parquet under lake/.`)
say('The same against the real venue:')
console.log(`  npx everybar sync ${series.join(' ')} --from -30d --root ./data`)
