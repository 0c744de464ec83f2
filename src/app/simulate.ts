import { parseFaults } from '../simulator/faults.ts'
import { describeKite, startKiteSimulator } from '../simulator/kite-simulator.ts'
import { type RunningSimulation, runSimulate, type SimulateOptions } from '../simulator/simulate.ts'
import type { AppContext } from './commands.ts'

export type { SimulateOptions } from '../simulator/simulate.ts'

/** Starts a simulated venue on loopback; it runs until `ctx.signal` aborts. */
export const simulate = (ctx: AppContext, options: SimulateOptions): Promise<RunningSimulation> =>
  runSimulate({ ...options, signal: ctx.signal })

/** The same for a Kite. `symbols` is a number of made-up shares, or their names; times other than `nowMs` say nothing to it. */
export async function simulateKite(
  ctx: AppContext,
  options: SimulateOptions,
): Promise<Omit<RunningSimulation, 'simulator'>> {
  const { symbols, faults, port, rttMs, nowMs, seed } = options
  const kite = await startKiteSimulator({
    ...(port !== undefined && { port }),
    ...(rttMs !== undefined && { rttMs }),
    ...(nowMs !== undefined && { nowMs }),
    ...(seed !== undefined && { seed }),
    ...(symbols !== undefined && { instruments: sharesOf([symbols].flat().join(',')) }),
    ...(faults !== undefined && { faults: [faults].flat().flatMap(parseFaults) }),
  })
  const closed = new Promise<void>((resolve, reject) => {
    const close = () => void kite.close().then(resolve, reject)
    if (ctx.signal.aborted) close()
    else ctx.signal.addEventListener('abort', close, { once: true })
  })
  return { url: kite.url, lines: describeKite(kite), closed }
}

function sharesOf(text: string) {
  if (/^[1-9]\d{0,5}$/.test(text.trim())) return Number(text)
  const names = text.split(',').map((name) => name.trim())
  return names.filter(Boolean).map((symbol, i) => ({ token: 1_000_001 + i * 256, symbol }))
}
