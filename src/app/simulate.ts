import { startSimulator } from '../simulator/simulator.ts'
import type { AppContext } from './commands.ts'

export interface SimulateOptions {
  /** A folder in the bulk archive's layout; without one, a seeded random walk is served. */
  readonly replay?: string
  readonly seed?: number
  /** Of the walk. */
  readonly symbols?: readonly string[]
  readonly port?: number
  readonly rttMs?: number
  readonly weightLimit?: number
  readonly windowMs?: number
  /** The venue's clock at the start. */
  readonly nowMs?: number
  readonly faults?: readonly string[]
}

export interface RunningSimulator {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string
  /** Resolves when `ctx.signal` has aborted and the server has closed. */
  readonly closed: Promise<void>
}

/** Starts a simulated venue on loopback; it runs until `ctx.signal` aborts. */
export async function simulate(
  ctx: AppContext,
  { faults, ...options }: SimulateOptions,
): Promise<RunningSimulator> {
  const server = await startSimulator({ ...options, ...(faults && { faults: faults.join(',') }) })
  const closed = new Promise<void>((resolve, reject) => {
    const close = () => server.close().then(resolve, reject)
    if (ctx.signal.aborted) void close()
    else ctx.signal.addEventListener('abort', () => void close(), { once: true })
  })
  return { url: server.url, closed }
}
