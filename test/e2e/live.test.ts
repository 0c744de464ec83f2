import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { LiveState } from '../../src/app/live-state.ts'
import { gaps, query, sync, verify } from '../../src/index.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { parseSeries } from '../../src/model/series.ts'
import type { SimulatorOptions } from '../../src/simulator/simulator.ts'
import { type MemoryShelf, openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { runCli } from '../run-cli.ts'
import { type LiveHouse, liveHouse } from '../support/live-house.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'

/** Every series is live and has the bars up to `at` at least. */
const reached = (at: string) => (state: LiveState) =>
  state.series.every(({ doneMs }) => doneMs !== null && doneMs >= Date.parse(at))

const at = (minute: string) => Date.parse(`2024-03-01T${minute}Z`)

/** Slices of ten minutes, so that some end while a test runs. */
const slicesOfTen = { settings: { history_page_limit: 10 } }

const failing = [{ kind: 'status' as const, value: 500, scope: 'klines', symbol: 'BTCUSDT' }]

/** Every bar up to the last one stored is there once, and the archive says the same. */
async function isWhole({ root }: LiveHouse, series: string): Promise<void> {
  const symbol = series.split(':')[2]
  const sql = `SELECT count(*)::INT AS bars, count(DISTINCT open_time)::INT AS times, (epoch_ms(max(open_time)) - epoch_ms(min(open_time))) / 60000 + 1 AS slots FROM bars WHERE symbol = '${symbol}'`
  const [row] = (await query({ root, sql })).rows
  expect(Number(row!.times)).toBe(Number(row!.bars))
  expect(Number(row!.slots)).toBe(Number(row!.bars))
  const proof = await verify({ root, series, deep: true })
  expect(proof.faults).toEqual([])
  expect(proof.complete).toBe(true)
}

// Mostly they wait: side by side they take as long as the longest.
/** A house of its own for `body`, gone afterwards. */
async function inLive(
  body: (live: LiveHouse) => Promise<void>,
  options: SimulatorOptions = {},
): Promise<void> {
  const live = await liveHouse(options)
  try {
    await body(live)
  } finally {
    await live.close()
  }
}

/** A store as an object of its own, to be changed. */
function bound(store: Store): Store {
  return {
    traits: store.traits,
    name: store.name,
    commit: (...args) => store.commit(...args),
    append: (...args) => store.append(...args),
    replace: (...args) => store.replace(...args),
    scan: (...args) => store.scan(...args),
    extent: (...args) => store.extent(...args),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}

/** What is stored is, bar for bar, what an ordinary sync of another root gets. */
async function isTrue(live: LiveHouse): Promise<void> {
  const columns = 'SELECT epoch_ms(open_time) AS ms, open, high, low, close, volume FROM bars'
  const { rows } = await query({ root: live.root, sql: `${columns} ORDER BY open_time` })
  const [fromMs, toMs] = [Number(rows[0]!.ms), Number(rows.at(-1)!.ms)]
  const root = `${live.root}-other`
  try {
    const range = { from: new Date(fromMs).toISOString(), to: new Date(toMs + 60_000).toISOString() }
    await sync({ root, series: BTC, baseUrl: live.venue.url, ...range })
    const sql = `${columns} WHERE epoch_ms(open_time) BETWEEN ${fromMs} AND ${toMs} ORDER BY open_time`
    expect(rows).toEqual((await query({ root, sql })).rows)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

const stored = async (live: LiveHouse, series = BTC) => {
  const symbol = series.split(':')[2]
  const sql = `SELECT count(*)::INT AS bars, count(DISTINCT open_time)::INT AS times, epoch_ms(min(open_time)) AS first, epoch_ms(max(open_time)) AS last FROM bars WHERE symbol = '${symbol}'`
  const { rows } = await query({ root: live.root, sql })
  const row = rows[0] as Record<string, unknown>
  return {
    bars: Number(row.bars),
    times: Number(row.times),
    first: Number(row.first),
    last: Number(row.last),
  }
}

describe.concurrent('live', () => {
  test('every bar once, as soon as it is final, and none before', () =>
    inLive(async (live) => {
      const report = await live.follow([BTC, ETH], {
        from: '2024-03-01T11:00Z',
        minutes: 90,
        until: reached('2024-03-01T12:06Z'),
      })
      expect(report.state.series.map(({ lastError }) => lastError)).toEqual([undefined, undefined])
      expect(report.cycles).toBeGreaterThan(0)
      for (const series of [BTC, ETH]) {
        const { bars, times, first, last } = await stored(live, series)
        expect(times).toBe(bars)
        expect(last).toBeGreaterThanOrEqual(Date.parse('2024-03-01T12:05Z'))
        expect(last).toBeLessThan(live.venue.now() - 60_000)
        expect(bars).toBe((last - first) / 60_000 + 1)
      }
      const proof = await verify({ root: live.root, deep: true })
      expect(proof.faults).toEqual([])
      expect(proof.complete).toBe(true)
    }))

  test('slices that end are asked for once more, whole, and what was restated meanwhile is a revision', () =>
    inLive(async (live) => {
      let restated = 0
      await live.follow([BTC], {
        from: '2024-03-01T11:00Z',
        minutes: 90,
        settings: slicesOfTen,
        until: (state) => {
          const doneMs = state.series[0]!.doneMs ?? 0
          if (restated === 0 && doneMs >= at('12:04')) {
            restated = at('12:02')
            live.venue.restate({ symbol: 'BTCUSDT', openTimeMs: restated, volume: '4321.5' })
          }
          return doneMs >= at('12:14')
        },
      })
      await live.catchUp([BTC])
      const sql = `SELECT volume FROM bars WHERE epoch_ms(open_time) = ${restated}`
      expect((await query({ root: live.root, sql })).rows).toEqual([{ volume: 4321.5 }])
      expect(
        (await runCli(['revisions', '--root', live.root, '--json']))
          .json()
          .data.map(({ openTimeMs }: { openTimeMs: number }) => openTimeMs),
      ).toEqual([restated])
      await isWhole(live, BTC)
    }))

  test('stopped and started again at any moment: no bar missing, none double', () =>
    inLive(async (live) => {
      for (const minute of ['12:03', '12:09', '12:10', '12:16']) {
        await live.follow([BTC, ETH], {
          from: '2024-03-01T11:00Z',
          minutes: 90,
          settings: slicesOfTen,
          until: reached(`2024-03-01T${minute}Z`),
        })
        await live.pass(1.5)
      }
      await live.catchUp([BTC, ETH])
      for (const series of [BTC, ETH]) await isWhole(live, series)
    }))

  test('a venue that fails for minutes: what was missed is caught up, and other series go on', () =>
    inLive(async (live) => {
      const report = await live.follow([BTC, ETH], {
        from: '2024-03-01T11:30Z',
        minutes: 90,
        settings: { fetch: { attempts: 2, backoff_base_ms: 1_000, backoff_max_ms: 1_000 } },
        until: (state) => {
          const [btc, eth] = state.series
          const failed = live.events.filter(
            ({ event, series }) => event === 'fetch_error' && series === BTC,
          ).length
          if ((eth!.doneMs ?? 0) >= at('12:02') && failed === 0) live.venue.setFaults(failing)
          else if (failed >= 3 && (eth!.doneMs ?? 0) > (btc!.doneMs ?? 0)) live.venue.setFaults([])
          return failed >= 3 && [btc, eth].every((one) => (one!.doneMs ?? 0) >= at('12:08'))
        },
      })
      expect(report.state.series.map(({ failures }) => failures)).toEqual([0, 0])
      for (const series of [BTC, ETH]) await isWhole(live, series)
    }))

  test('a venue that suspends trading: the minutes are an outage, and nothing stalls', () =>
    inLive(
      async (live) => {
        await live.follow([BTC], {
          from: '2024-03-01T11:30Z',
          minutes: 90,
          until: reached('2024-03-01T12:08Z'),
        })
        const found = await gaps({
          root: live.root,
          series: BTC,
          from: '2024-03-01T11:30Z',
          to: '2024-03-01T12:08Z',
        })
        expect(found.map(({ range }) => range)).toEqual([{ startMs: at('12:02'), endMs: at('12:05') }])
        expect((await verify({ root: live.root, deep: true })).faults).toEqual([])
      },
      { outages: [{ startMs: at('12:02'), endMs: at('12:05') }] },
    ))

  test('trading that pauses while the series is brought level is a pause, and no end', () =>
    inLive(
      async (live) => {
        await live.follow([BTC], {
          from: '2024-03-01T11:30Z',
          minutes: 90,
          until: reached('2024-03-01T12:02Z'),
        })
        const found = await gaps({
          root: live.root,
          series: BTC,
          from: '2024-03-01T11:30Z',
          to: '2024-03-01T12:02Z',
        })
        expect(found.map(({ range }) => range)).toEqual([{ startMs: at('11:57'), endMs: at('12:01') }])
      },
      { outages: [{ startMs: at('11:57'), endMs: at('12:01') }] },
    ))

  test('a store that is down holds nobody back, and has every bar once it is there again', () =>
    inLive(async (live) => {
      const shelf: MemoryShelf = new Map()
      let down = true
      const flaky = (): Store => {
        const store = openMemoryStore({ name: 'second', shelf })
        const may = () => {
          if (down) throw new EverybarError('store.unreachable', 'down', { recovery: 'retry', hint: 'wait' })
        }
        return new Proxy(store, {
          get: (target, name) => {
            const value: unknown = Reflect.get(target, name)
            if (typeof value !== 'function') return value
            return (...args: unknown[]) => {
              if (name === 'append' || name === 'commit') may()
              return value.apply(target, args)
            }
          },
        })
      }
      const series = parseSeries(BTC)
      const held = async () => (await openMemoryStore({ name: 'second', shelf }).extent(series))?.lastMs ?? 0
      let doneWhileDown = 0
      await live.follow([BTC], {
        from: '2024-03-01T11:50Z',
        minutes: 90,
        wrap: (house) => ({ ...house, stores: [...house.stores, flaky()] }),
        until: (state) => {
          const doneMs = state.series[0]!.doneMs ?? 0
          if (down && doneMs >= at('12:03')) {
            doneWhileDown = doneMs
            down = false
          }
          const [kept] = [...shelf.values()]
          // All of the slice, which begins hours before the first minute that is asked for.
          const caughtUp =
            kept !== undefined && kept.length > 200 && kept.openTimeMs.at(-1) === doneMs - 60_000
          return doneMs >= at('12:06') && caughtUp
        },
      })
      expect(doneWhileDown).toBeGreaterThanOrEqual(at('12:03'))
      const lake = await stored(live)
      expect(await held()).toBe(lake.last)
      expect((await openMemoryStore({ name: 'second', shelf }).extent(series))?.rows).toBe(lake.bars)
    }))

  test.each([-3_600_000, 3_600_000])('this machine’s clock wrong by %d ms: the same bars', (offMs) =>
    inLive(async (live) => {
      const right = live.clock.nowMs
      await live.follow([BTC], {
        from: '2024-03-01T11:50Z',
        minutes: 90,
        wrap: (house) => ({ ...house, clock: { ...house.clock, nowMs: () => right() + offMs } }),
        until: reached('2024-03-01T12:03Z'),
      })
      await isWhole(live, BTC)
      expect((await stored(live)).last).toBeLessThan(live.venue.now() - 60_000)
    }),
  )

  test.each(['kraken', 'bybit', 'okx', 'coinbase', 'kucoin'])('%s, read by ccxt: the same', (venue) =>
    inLive(
      async (live) => {
        const series = `${venue}:spot:BTC/USDT:1m`
        const report = await live.follow([series], {
          from: '2024-03-01T11:30Z',
          minutes: 90,
          until: reached('2024-03-01T12:06Z'),
        })
        expect(report.state.series.map(({ lastError }) => lastError)).toEqual([undefined])
        expect(live.events.filter(({ event }) => event === 'live_error')).toEqual([])
        const proof = await verify({ root: live.root, deep: true })
        expect(proof.faults).toEqual([])
        expect(proof.complete).toBe(true)
      },
      { symbols: ['BTCUSD', 'BTCUSDT'] },
    ),
  )

  test('what was committed in small is folded into the month while it goes on, and nothing is lost', () =>
    inLive(
      async (live) => {
        const folds = () => live.events.filter(({ event }) => event === 'lake_compacted').length
        await live.follow([BTC, ETH], {
          from: '2024-02-29T23:30Z',
          minutes: 90,
          until: ({ series }) => folds() > 0 && (series[0]!.doneMs ?? 0) >= Date.parse('2024-03-01T00:05Z'),
        })
        expect(folds()).toBeGreaterThan(0) // February has ended
        for (const series of [BTC, ETH]) await isWhole(live, series)
      },
      { nowMs: Date.parse('2024-02-29T23:57:10Z') },
    ))

  // A bar off the grid is kept as it came, here as everywhere.
  test.each(['html', 'empty', 'duplicate', 'null-price', 'short', 'hole', 'reset'])(
    'answers that come as %s half of the time: what is stored is what the venue has',
    (kind) =>
      inLive(async (live) => {
        let hostile = true
        live.venue.setFaults(`klines:${kind}@50%`)
        await live.follow([BTC], {
          from: '2024-03-01T11:50Z',
          minutes: 90,
          settings: { fetch: { attempts: 3, backoff_base_ms: 500, backoff_max_ms: 1_000 }, ...slicesOfTen },
          until: (state) => {
            if (hostile && live.venue.now() >= at('12:04')) {
              hostile = false
              live.venue.setFaults([])
            }
            return !hostile && (state.series[0]!.doneMs ?? 0) >= at('12:06')
          },
        })
        live.venue.setFaults([])
        await live.catchUp([BTC])
        await isWhole(live, BTC)
        await isTrue(live)
      }),
  )

  test('the bar that forms goes to a store that wants it, apart, and into no other place', () =>
    inLive(async (live) => {
      const final: number[] = []
      const forming: { readonly openTimeMs: number; readonly nowMs: number; readonly wasFinal: boolean }[] =
        []
      const store = openMemoryStore({ name: 'second' })
      const watching: Store = {
        ...bound(store),
        append: (entries) => {
          for (const { batch } of entries) final.push(...batch.openTimeMs)
          return store.append(entries)
        },
        provisional: async (entries) => {
          for (const { batch } of entries)
            for (const openTimeMs of batch.openTimeMs)
              forming.push({ openTimeMs, nowMs: live.venue.now(), wasFinal: final.includes(openTimeMs) })
        },
      }
      await live.follow([BTC], {
        from: '2024-03-01T11:50Z',
        minutes: 90,
        wrap: (house) => ({ ...house, stores: [...house.stores, watching] }),
        until: () => forming.length >= 3,
      })
      expect(forming.filter(({ wasFinal }) => wasFinal)).toEqual([])
      for (const { openTimeMs, nowMs } of forming) expect(openTimeMs).toBeLessThanOrEqual(nowMs)
      const lake = await stored(live)
      expect(lake.last).toBe(final.at(-1))
      expect(forming.at(-1)!.openTimeMs).toBeGreaterThan(lake.last)
    }))

  test('a new series without a start is followed from its last closed bar', () =>
    inLive(async (live) => {
      await live.follow([BTC], { minutes: 90, until: reached('2024-03-01T12:02Z') })
      const { rows } = await query({ root: live.root, sql: 'SELECT count(*)::INT AS bars FROM bars' })
      expect(Number(rows[0]!.bars)).toBeLessThanOrEqual(1_000) // the slice it lies in, not the history since the listing
    }))

  test('a series that is not there leaves the others alone', () =>
    inLive(async (live) => {
      const report = await live.follow([BTC, 'binance:spot:NOSUCHUSDT:1m'], {
        from: '2024-03-01T11:50Z',
        minutes: 90,
        until: ({ series }) => (series[0]!.doneMs ?? 0) >= at('12:02') && series[1]!.failures > 1,
      })
      expect(report.state.series[1]).toMatchObject({
        doneMs: null,
        lastError: { code: 'source.unknown-symbol' },
      })
      await isWhole(live, BTC)
    }))

  test('costs one request of weight for each bar, whatever the history', () =>
    inLive(async (live) => {
      await live.follow([BTC], { from: '2024-02-28', minutes: 90, until: reached('2024-03-01T12:01Z') })
      live.venue.resetStats()
      const before = live.events.length
      await live.follow([BTC], { minutes: 90, until: reached('2024-03-01T12:08Z') })
      const ticks = live.events.slice(before).filter(({ event }) => event === 'live_cycle_complete').length
      const asked = live.venue
        .log()
        .filter(({ path, parameters }) => path === '/api/v3/klines' && Number(parameters.limit) <= 3)
      expect(asked.length).toBeGreaterThan(0)
      expect(asked.length).toBeLessThanOrEqual(ticks + 1)
    }))
})
