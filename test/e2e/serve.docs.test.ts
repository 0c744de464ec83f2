import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/index.ts'
import { runDocExamples } from '../run-doc-examples.ts'
import { type Running, running } from '../support/data-server.ts'

/** Stands for the real venue, whose address the example does not name. */
const venue = await startSimulator({ weightLimit: 1e9, fromMs: Date.now() - 3 * 86_400_000 })
const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
afterAll(() => venue.close())
runDocExamples('docs/serve.md', { env })

const page = readFileSync(new URL('../../docs/serve.md', import.meta.url), 'utf8')

describe('the answers docs/serve.md shows', () => {
  let at: Running
  beforeAll(async () => {
    at = await running({ from: '2024-03-01' })
    await at.until(
      () => at.get('/readyz'),
      ({ status }) => status === 200,
    )
  })
  afterAll(() => at.close())

  test('every path of the table is answered, and the refusal shown is one', async () => {
    const paths = [...page.matchAll(/^\| `(\/[^`]*)` \|/gm)].map(([, path]) => path!)
    expect(paths).toHaveLength(7)
    for (const path of paths) {
      const { status } = await fetch(at.server.url + path, { method: 'HEAD' })
      expect([path, status]).toEqual([path, path === '/api/v1/bars' ? 400 : 200])
    }
    const shown = JSON.parse(/^(\{"error".*\})$/m.exec(page)![1]!)
    expect(await at.json('/api/v1/bars?series=binance:spot:XRPUSDT:1m')).toEqual(shown)
  })

  test('bars have the shape that is shown, cut where it is cut', async () => {
    const asked = /curl 'http:\/\/127\.0\.0\.1:8080([^']*)'/.exec(page)![1]!
    const shown = JSON.parse(/^\{"series":[\s\S]*?\n\],"next":.*\}$/m.exec(page)![0])
    const found = await at.json(asked)
    expect(Object.keys(found)).toEqual(Object.keys(shown))
    expect([found.series, found.columns, found.next]).toEqual([shown.series, shown.columns, shown.next])
    expect(found.bars.map(([time]: unknown[]) => time)).toEqual(shown.bars.map(([time]: unknown[]) => time))
    for (const [row, like] of found.bars.map((row: unknown[], i: number) => [row, shown.bars[i]]))
      expect(row.map((value: unknown) => typeof value)).toEqual(like.map((value: unknown) => typeof value))
  })

  test('an event has the fields that are shown', async () => {
    const shown = JSON.parse(/^data: (.*)$/m.exec(page)![1]!)
    const event = await at.until(
      () => at.events.find(({ event: name }) => name === 'live_cycle_complete'),
      (found) => found !== undefined,
    )
    expect(Object.keys({ time: '', level: '', ...event })).toEqual(Object.keys(shown))
  })
})
