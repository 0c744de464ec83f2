import { type RunningSimulation, runSimulate, type SimulateOptions } from '../simulator/simulate.ts'
import type { AppContext } from './commands.ts'

export type { SimulateOptions } from '../simulator/simulate.ts'

/** Starts a simulated venue on loopback; it runs until `ctx.signal` aborts. */
export const simulate = (ctx: AppContext, options: SimulateOptions): Promise<RunningSimulation> =>
  runSimulate({ ...options, signal: ctx.signal })
