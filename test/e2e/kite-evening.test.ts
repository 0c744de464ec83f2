import { readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DAY_MS, MINUTE_MS } from '../../src/model/time.ts'
import { istMidnight, istStamp } from '../../src/source/kite/intervals.ts'
import { readParquet } from '../consumers.ts'
import { inFolder, runHere } from '../run-cli.ts'

const ist = (text: string) => Date.parse(`${text}+05:30`)

/** A Kite with one instrument whose day candles grow, a unit of volume a minute, while its sessions go on. */
async function venueOf(exchange: string, sessions: Readonly<Record<string, readonly [string, string]>>) {
  const state = { nowMs: 0 }
  const dayCandle = ([day, [opens, closes]]: [string, readonly [string, string]]) => {
    const [fromMs, toMs] = [ist(`${day}T${opens}`), ist(`${day}T${closes}`)]
    const volume = Math.floor((Math.min(toMs, state.nowMs) - fromMs) / MINUTE_MS)
    return { ms: istMidnight(day), volume }
  }
  const server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://kite.test')
    response.sendDate = false
    response.setHeader('date', new Date(state.nowMs).toUTCString())
    if (!url.pathname.includes('historical') && url.pathname.includes('instruments')) {
      const header =
        'instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange'
      response.end(`${header}\n7,7,ONE,ONE,0,,0,1,1,EQ,${exchange},${exchange}\n`)
      return
    }
    const at = (name: string) => ist((url.searchParams.get(name) ?? '').replace(' ', 'T'))
    const candles = Object.entries(sessions)
      .map(dayCandle)
      .filter(({ ms, volume }) => volume > 0 && ms >= at('from') && ms <= at('to'))
      .map(({ ms, volume }) => [istStamp(ms), 100, 101, 99, 100, volume])
    response.end(JSON.stringify({ status: 'success', data: { user_id: 'x', candles } }))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { state, url, [Symbol.dispose]: () => void server.close() }
}

/** Syncs at each time; gives the last report and the day and volume of each stored bar. */
async function syncedAt(venue: Awaited<ReturnType<typeof venueOf>>, id: string, times: readonly string[]) {
  return inFolder(async (cwd) => {
    writeFileSync(join(cwd, 'everybar.yaml'), 'root: ./data\n')
    const env = {
      EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
      EVERYBAR_KITE_API_KEY: 'key',
      EVERYBAR_KITE_ACCESS_TOKEN: 'token',
    }
    const run = (...args: string[]) => runHere(args, { cwd, env })
    venue.state.nowMs = ist(times[0]!)
    expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
    for (const time of times) {
      venue.state.nowMs = ist(time)
      const report = await run('sync', id, '--from', '2024-03-10T18:30Z', '--json')
      expect(report.code, report.stderr).toBe(0)
    }
    const gaps = await run('gaps', id, '--from', '2024-03-10T18:30Z', '--to', '2024-12-31', '--json')
    const folder = join(cwd, 'data', 'lake')
    const files = (readdirSync(folder, { recursive: true }) as string[]).filter((name) =>
      name.endsWith('.parquet'),
    )
    const rows = await Promise.all(files.map(async (name) => (await readParquet(join(folder, name))).rows))
    const bars = rows.flat() as { open_time: Date; volume: number }[]
    return {
      gaps: gaps.json().data as { class: string; range: { startMs: number; endMs: number } }[],
      volumes: Object.fromEntries(
        bars.map(({ open_time, volume }) => [istStamp(+open_time).slice(0, 10), Number(volume)]),
      ),
    }
  })
}

describe('days on which trading goes on after 15:30', () => {
  test('a market that trades into the night has its day when the night is over, with all of its volume', async () => {
    const hours = ['09:00', '23:30'] as const
    using venue = await venueOf('MCX', { '2024-03-11': hours, '2024-03-12': hours, '2024-03-13': hours })
    const { volumes } = await syncedAt(venue, 'kite:mcx:ONE:1d', ['2024-03-12T18:00', '2024-03-13T18:00'])
    expect(volumes).toEqual({ '2024-03-11': 870, '2024-03-12': 870 })
  })

  test('a Muhurat day that was asked about in the afternoon is fetched after its session', async () => {
    const usual = ['09:15', '15:30'] as const
    using venue = await venueOf('NSE', {
      '2024-10-31': usual,
      '2024-11-01': ['18:00', '19:00'],
      '2024-11-04': usual,
    })
    const times = ['2024-11-01T16:30', '2024-11-01T19:00', '2024-11-01T19:30']
    const first = await syncedAt(venue, 'kite:nse:ONE:1d', times.slice(0, 1))
    expect(first.volumes).toEqual({ '2024-10-31': 375 })
    const day = { startMs: istMidnight('2024-11-01'), endMs: istMidnight('2024-11-01') + DAY_MS }
    const within = first.gaps.filter(({ range }) => range.startMs < day.endMs && range.endMs > day.startMs)
    expect(within.map((gap) => gap.class)).toEqual(['not_yet_final'])
    expect((await syncedAt(venue, 'kite:nse:ONE:1d', times.slice(0, 2))).volumes).toEqual(first.volumes)
    const last = await syncedAt(venue, 'kite:nse:ONE:1d', times)
    expect(last.volumes).toEqual({ '2024-10-31': 375, '2024-11-01': 60 })
  })
})
