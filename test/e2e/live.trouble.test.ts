import { describe, expect, test } from 'vitest'
import { isLevel, type LiveState } from '../../src/app/live-state.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { runHere } from '../run-cli.ts'
import { type LiveHouse, liveHouse } from '../support/live-house.ts'

const BTC = 'binance:spot:BTCUSDT:1m'

/** A house of its own for `body`, gone afterwards. */
async function inLive(body: (live: LiveHouse) => Promise<void>): Promise<void> {
  const live = await liveHouse({ symbols: ['BTCUSD', 'BTCUSDT', 'ETHUSDT'] })
  try {
    await body(live)
  } finally {
    await live.close()
  }
}

/** A second store, which takes nothing while it is down. */
function secondStore(isDown: () => boolean): Store {
  const store = openMemoryStore({ name: 'second' })
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (isDown() && (name === 'append' || name === 'commit'))
          throw new EverybarError('store.unreachable', 'down', { recovery: 'retry', hint: 'wait' })
        return value.apply(target, args)
      }
    },
  })
}

const doneBy = (time: string) => (state: LiveState) =>
  state.series.every(({ doneMs }) => doneMs !== null && doneMs >= Date.parse(time))

describe.concurrent('live, when something is wrong', () => {
  test('a store that takes no bar keeps its series from being level, until it has taken them all', () =>
    inLive(async (live) => {
      let down = true
      const follow = (until: (state: LiveState) => boolean) =>
        live.follow([BTC], {
          from: '2024-03-01T11:50Z',
          minutes: 60,
          wrap: (house) => ({ ...house, stores: [...house.stores, secondStore(() => down)] }),
          until,
        })
      const away = await follow(doneBy('2024-03-01T12:03Z'))
      expect(away.state.series).toMatchObject([{ behind: ['second'] }])
      expect(isLevel(away.state)).toBe(false)
      expect(live.events.filter(({ event }) => event === 'replayed')).toEqual([])
      down = false
      const back = await follow((state) => doneBy('2024-03-01T12:05Z')(state) && isLevel(state))
      expect(back.state.series).toMatchObject([{ behind: [] }])
      expect(isLevel(back.state)).toBe(true)
      const ends = live.events.filter(({ event }) => event === 'run_finished')
      expect(ends.map(({ complete }) => complete)).toEqual([false, true])
    }))

  test('series that can never be followed are named with what to do, and end it when there are no others', () =>
    inLive(async (live) => {
      const wrong = ['binance:spot:NOPE:1m', 'kraken:spot:BTC/USD:2h']
      const both = live.follow(wrong, { minutes: 60 })
      await expect(both).rejects.toMatchObject({
        code: 'series.none-to-follow',
        message: expect.stringContaining('binance:spot:NOPE:1m (source.unknown-symbol)'),
      })
      for (const series of ['binance:spot:NOPE:1m', 'kraken:spot:XXBTZUSD:2h'])
        expect(live.events.find((one) => one.event === 'live_error' && one.series === series)).toMatchObject({
          level: 'error',
          hint: expect.stringMatching(/./),
        })
      expect(live.events.find(({ event }) => event === 'run_finished')).toMatchObject({ complete: false })
      const [run] = (await runHere(['runs', 'list', '--root', live.root, '--json'])).json().data
      expect(run).toMatchObject({ command: 'live', exitCode: 2, endedAtMs: expect.any(Number) })
    }))

  test('one that can never be followed beside one that can: that one goes on', () =>
    inLive(async (live) => {
      const report = await live.follow(['binance:spot:NOPE:1m', BTC], {
        minutes: 60,
        until: ({ series }) => series[0]!.failures > 1 && series[1]!.doneMs !== null,
      })
      expect(report.state.series).toMatchObject([{ doneMs: null, lagMs: null }, { series: BTC }])
    }))

  test('a series has one name once its venue was asked, and is followed once by whichever it is given', () =>
    inLive(async (live) => {
      const names = [BTC, 'binance:spot:BTC/USDT:1m', 'okx:spot:BTC/USDT:1m', 'okx:spot:BTC-USDT:1m']
      const report = await live.follow(names, {
        from: '2024-03-01T11:50Z',
        minutes: 60,
        until: doneBy('2024-03-01T12:04Z'),
      })
      expect(report.state.series.map(({ series }) => series).sort()).toEqual([BTC, 'okx:spot:BTC-USDT:1m'])
      expect(live.events.filter(({ event }) => event === 'series_named_twice')).toHaveLength(2)
      const asked = live.events.filter(({ event, series }) => event === 'fetch_ok' && series === BTC)
      const pages = asked.filter(({ slice }) => slice !== undefined)
      expect(new Set(pages.map(({ slice }) => slice)).size).toBe(pages.length)
    }))
})
