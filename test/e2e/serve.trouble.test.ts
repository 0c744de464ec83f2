import { afterEach, describe, expect, test } from 'vitest'
import type { LiveSeriesState } from '../../src/app/live-state.ts'
import { type Running, type RunningOptions, running } from '../support/data-server.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const NOPE = 'binance:spot:NOPE:1m'

let one: Running | undefined
afterEach(async () => {
  await one?.close()
  one = undefined
})
const start = async (options: RunningOptions): Promise<Running> => (one = await running(options))

const readiness = async (at: Running) => {
  const answer = await at.get('/readyz')
  const { checks } = JSON.parse(await answer.text()) as { checks: { name: string; message?: string }[] }
  const wrong = checks.flatMap(({ name, message }) =>
    message === undefined ? [] : [[name, message] as const],
  )
  return { status: answer.status, ...Object.fromEntries(wrong) } as Record<string, string | number>
}
const followed = async (at: Running): Promise<readonly LiveSeriesState[]> =>
  (await at.json('/api/v1/status')).live.series

describe('trouble from the start: it is told, and the rest goes on', () => {
  test('a symbol the venue does not know', async () => {
    const at = await start({ series: [NOPE, BTC], settings: { serve: { overdue_max_seconds: 60 } } })
    const [nope, btc] = await at.until(
      () => followed(at),
      ([first, second]) => first?.lastError !== undefined && second?.doneMs != null,
    )
    expect(nope).toMatchObject({ series: NOPE, doneMs: null, lastError: { code: 'source.unknown-symbol' } })
    expect(btc).toMatchObject({ series: BTC, failures: 0 })
    const found = await at.until(
      () => readiness(at),
      ({ fresh }) => fresh !== undefined,
    )
    expect(found).toMatchObject({ status: 503 })
    expect(found.fresh).toContain(`1 of 2 series late: ${NOPE} not reached yet (source.unknown-symbol)`)
    expect((await at.json(`/api/v1/bars?series=${BTC}&limit=5`)).bars).toHaveLength(5)
    const told = at.events.filter(({ event, series }) => event === 'live_error' && series === NOPE)
    expect(told[0]).toMatchObject({
      ...{ level: 'error', code: 'source.unknown-symbol', hint: expect.stringMatching(/./) },
    })
  })

  test.each([
    ['all that is wanted', ['binance:spot:BTC/USDT:1m'], true],
    ['a series that was not reached yet', ['binance:spot:BTC/USDT:1m', NOPE], false],
  ])('a pass for gaps over %s tells of each series by the venue’s name', async (_, series, complete) => {
    const at = await start({ series, settings: { serve: { completeness_seconds: 60 } } })
    const told = await at.until(
      () => at.json('/api/v1/status'),
      ({ completeness }) => completeness.passes > 0,
    )
    expect(told.completeness.lastComplete).toBe(complete)
    expect(told.live.series[0]).toMatchObject({ series: BTC, lagMs: expect.any(Number) })
    expect(told.series.map((one: { series: string }) => one.series)).toContain(BTC)
    if (!complete) expect(told.live.series[1]).toMatchObject({ doneMs: null, lagMs: null })
  })

  test('a venue that does not answer, and then does', async () => {
    const at = await start({ venue: { faults: '503' } })
    const away = await at.until(
      () => readiness(at),
      ({ watching }) => String(watching).includes('; '),
    )
    expect(away.status).toBe(503)
    expect(away.watching).toMatch(/none of 1 series has been reached since .*; (fetch|source)\./)
    expect((await at.get('/livez')).status).toBe(200)
    at.venue.setFaults('')
    await at.until(
      () => readiness(at),
      ({ status }) => status === 200,
    )
  })

  test('a region that is blocked', async () => {
    const at = await start({ venue: { faults: '451' } })
    const [blocked] = await at.until(
      () => followed(at),
      ([first]) => first?.lastError !== undefined,
    )
    expect(blocked).toMatchObject({ doneMs: null, lastError: { code: 'source.geo-blocked' } })
    expect(await readiness(at)).toMatchObject({
      status: 503,
      watching: expect.stringContaining('source.geo-blocked'),
    })
  })

  test('a store that is down: the others are written to, and it is named', async () => {
    const stores = { postgres: { url: 'postgres://nobody@127.0.0.1:1/nothing' } }
    const at = await start({ settings: { stores } })
    const found = await at.until(
      () => readiness(at),
      ({ watching }) => watching === undefined,
    )
    expect(found).toMatchObject({ status: 503, 'store:postgres': expect.stringMatching(/^store\./) })
    expect(Object.keys(found)).not.toContain('store:parquet')
    expect((await at.json(`/api/v1/bars?series=${BTC}&limit=5`)).bars).toHaveLength(5)
    const metrics = await (await at.get('/metrics')).text()
    expect(metrics).toMatch(/^everybar_store_errors_total\{store="postgres"\} [1-9]/m)
    expect(metrics).toMatch(/^everybar_store_series_behind\{store="parquet"\} 0$/m)
    expect(metrics).toMatch(/^everybar_store_series_behind\{store="postgres"\} 1$/m)
    expect((await followed(at))[0]).toMatchObject({ behind: ['postgres'] })
    const { series } = await at.json('/api/v1/status')
    expect(series[0].behind).toMatchObject({ parquet: 0, postgres: expect.any(Number) })
    expect(series[0].behind.postgres).toBeGreaterThan(0)
  })
})
