import type { Clock } from '../src/model/events.ts'

export interface VirtualClock extends Clock {
  /** Runs everything that is due up to `untilMs` from the start, in order of time, as fast as it can. */
  readonly runUntil: (untilMs: number) => Promise<void>
  /** Runs until `done` settles; gives its value. */
  readonly run: <T>(done: Promise<T>) => Promise<T>
}

/** A clock whose time passes only when nothing is left to do at the present. Starts at `startMs`, monotonic at 0. */
export function virtualClock(startMs = 1_700_000_000_000): VirtualClock {
  let now = 0
  let sequence = 0
  const timers: { readonly atMs: number; readonly sequence: number; readonly ring: () => void }[] = []
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const timer = { atMs: now + ms, sequence: sequence++, ring: resolve }
      const at = timers.findIndex((other) => other.atMs > timer.atMs)
      timers.splice(at < 0 ? timers.length : at, 0, timer)
      signal?.addEventListener(
        'abort',
        () => {
          const i = timers.indexOf(timer)
          if (i >= 0) timers.splice(i, 1)
          reject(signal.reason)
        },
        { once: true },
      )
    })
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const step = async (untilMs: number): Promise<boolean> => {
    await settle()
    const next = timers[0]
    if (!next || next.atMs > untilMs) return false
    now = Math.max(now, next.atMs)
    timers.shift()
    next.ring()
    return true
  }
  return {
    nowMs: () => Math.round(startMs + now),
    monotonicMs: () => now,
    sleep,
    runUntil: async (untilMs) => {
      while (await step(untilMs));
      now = Math.max(now, untilMs)
    },
    run: async (done) => {
      let over = false
      const end = done.finally(() => {
        over = true
      })
      end.catch(() => {})
      while (!over && (await step(Number.POSITIVE_INFINITY)));
      await settle()
      if (!over) throw new Error('nothing is left to happen, and it is not done')
      return end
    },
  }
}
