import type { Fetcher } from '../fetch/fetcher.ts'
import type { OnEvent } from '../model/events.ts'

interface Shared {
  readonly fetcher: Fetcher
  /** Of every call that is under way. */
  readonly listeners: Set<OnEvent>
}

/** By what they were made from. A venue counts what a process asks, not what a call of it asks. */
const shared = new Map<string, Shared>()

/** Fetchers kept that nobody uses now. */
const KEPT_MAX = 16

/**
 * The one fetcher of this process for all calls with the same settings: their requests share its limits, and a ban that one
 * of them meets holds for those after it. What happens is told to every call under way. Kept when a call is over; its idle
 * connections hold no process.
 */
export function sharedFetcher(key: string, onEvent: OnEvent, create: (onEvent: OnEvent) => Fetcher): Fetcher {
  const known = shared.get(key) ?? make(create)
  shared.delete(key)
  shared.set(key, known)
  const { fetcher, listeners } = known
  const listener: OnEvent = (event) => onEvent(event)
  listeners.add(listener)
  dropOldest()
  return {
    fetch: (request, options) => fetcher.fetch(request, options),
    setLimits: (limits) => fetcher.setLimits(limits),
    assumeLimits: (limits) => fetcher.assumeLimits(limits),
    usage: () => fetcher.usage(),
    stats: () => fetcher.stats(),
    [Symbol.asyncDispose]: async () => void listeners.delete(listener),
  }
}

function make(create: (onEvent: OnEvent) => Fetcher): Shared {
  const listeners = new Set<OnEvent>()
  const fetcher = create((event) => {
    for (const listener of listeners) listener(event)
  })
  return { fetcher, listeners }
}

function dropOldest(): void {
  const idle = [...shared].filter(([, { listeners }]) => listeners.size === 0)
  for (const [key, { fetcher }] of idle.slice(0, Math.max(0, idle.length - KEPT_MAX))) {
    shared.delete(key)
    void fetcher[Symbol.asyncDispose]()
  }
}
