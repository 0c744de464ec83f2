import { hostname } from 'node:os'

/** A process, by where it runs and its number there. */
export interface Runner {
  readonly pid: number
  readonly host: string
}

export const ownRunner = (): Runner => ({ pid: process.pid, host: hostname() })

export const isOwn = ({ pid, host }: Partial<Runner>): boolean => pid === process.pid && host === hostname()

/** Whether a process still runs; `undefined` where that cannot be told: on another machine, or in another container. */
export function isAlive({ pid, host }: Partial<Runner>): boolean | undefined {
  if (host !== hostname() || !Number.isInteger(pid) || pid! < 1) return undefined
  try {
    process.kill(pid!, 0) // asks, and sends nothing
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
