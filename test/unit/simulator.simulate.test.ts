import { describe, expect, test } from 'vitest'
import { parseOutage, runSimulate } from '../../src/simulator/simulate.ts'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'

const NOW = Date.UTC(2024, 0, 31)

describe('runSimulate', () => {
  test('takes what a command line has, says what runs, and ends with its signal', async () => {
    const stop = new AbortController()
    const running = await runSimulate({
      symbols: 'BTCUSDT, SOLUSDT',
      faults: ['html@2', '500@3,null@4'],
      outages: ['2024-01-30T01:00Z/2024-01-30T02:00Z'],
      weightLimit: 'none',
      fromMs: Date.UTC(2024, 0, 1),
      toMs: NOW,
      signal: stop.signal,
    })
    const { simulator, url, lines } = running
    expect(simulator.listings.map(({ market, symbol }) => `${market}:${symbol}`)).toEqual([
      'spot:BTCUSDT',
      'um:BTCUSDT',
      'spot:SOLUSDT',
      'um:SOLUSDT',
    ])
    expect(lines[0]).toMatch(new RegExp(`${url}; its clock says 2024-01-31T00:00:30`))
    expect(lines.join('\n')).toContain('spot:SOLUSDT from 2024-01-01')
    const ask = async () => {
      const path = `/api/v3/klines?symbol=SOLUSDT&interval=1h&startTime=${Date.UTC(2024, 0, 30)}&limit=2`
      const response = await fetch(url + path)
      return [response.status, (await response.text()).slice(0, 4)]
    }
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([
      [200, '[[17'],
      [200, '<!DO'],
      [500, '<!DO'],
      [200, 'null'],
    ])
    const opens = (await (
      await fetch(
        `${url}/api/v3/klines?symbol=SOLUSDT&interval=1h&startTime=${Date.UTC(2024, 0, 30)}&limit=2`,
      )
    ).json()) as number[][]
    expect(opens.map((row) => row[0])).toEqual([Date.UTC(2024, 0, 30), Date.UTC(2024, 0, 30, 2)])
    stop.abort()
    await running.closed
    await expect(fetch(url)).rejects.toThrow()
  })

  test('closing it by hand ends it too', async () => {
    const running = await runSimulate()
    await running.simulator.close()
    await running.closed
    await running.simulator.close()
    await expect(fetch(running.url)).rejects.toThrow()
  })

  test('a signal that has aborted already', async () => {
    const running = await runSimulate({ signal: AbortSignal.abort() })
    await running.closed
    await expect(fetch(running.url)).rejects.toThrow()
  })
})

describe('options that make no venue', () => {
  test.each<[string, SimulatorOptions, string]>([
    ['a window of no whole seconds', { windowMs: 1500 }, 'simulator.bad-option'],
    ['a negative round trip', { rttMs: -1 }, 'simulator.bad-option'],
    ['a limit of nothing', { weightLimit: 0 }, 'simulator.bad-option'],
    ['no symbols', { symbols: [] }, 'simulator.bad-option'],
    ['a symbol no query could name', { symbols: ['btc usdt'] }, 'simulator.bad-option'],
    ['faults that cannot be read', { faults: 'htlm@3' }, 'simulator.bad-faults'],
    ['a folder that is not there', { replay: '/nowhere/at/all' }, 'simulator.no-data'],
  ])('%s', async (_, options, code) => {
    await expect(startSimulator(options)).rejects.toMatchObject({ code, recovery: 'abort' })
  })

  test('a port in use', async () => {
    const first = await startSimulator()
    await expect(startSimulator({ port: first.port })).rejects.toMatchObject({
      code: 'simulator.port-in-use',
    })
    await first.close()
  })

  test.each(['', '2024-01-01', 'now/2024-01-01', '2024-01-01/then', '2024-01-01/2024-01-02/2024-01-03'])(
    'the outage "%s"',
    (text) => {
      expect(() => parseOutage(text)).toThrow(expect.objectContaining({ code: 'simulator.bad-option' }))
    },
  )
})
