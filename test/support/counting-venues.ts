/** What a venue allows, for the tests of what keeps to it. */
export const capacity = 600
export const windowMs = 6_000

/** How a venue counts: `take` says whether a request is served, `used` is the counter it shows. */
export interface Counting {
  readonly take: (atMs: number, weight: number) => boolean
  readonly used: (atMs: number) => number
}

export const designs: Readonly<Record<string, (phase: number) => Counting>> = {
  'fixed windows': (phase) => {
    let window = Number.NaN
    let used = 0
    const roll = (atMs: number): void => {
      const current = Math.floor((atMs + phase * windowMs) / windowMs)
      if (current !== window) used = 0
      window = current
    }
    return {
      take: (atMs, weight) => {
        roll(atMs)
        used += weight
        return used <= capacity
      },
      used: (atMs) => {
        roll(atMs)
        return used
      },
    }
  },
  'a sliding log': () => {
    let log: { atMs: number; weight: number }[] = []
    const used = (atMs: number): number => {
      log = log.filter((entry) => entry.atMs > atMs - windowMs)
      return log.reduce((sum, entry) => sum + entry.weight, 0)
    }
    return {
      take: (atMs, weight) => {
        log.push({ atMs, weight })
        return used(atMs) <= capacity
      },
      used,
    }
  },
  'a draining bucket': () => {
    let level = 0
    let last = 0
    const drain = (atMs: number): void => {
      level = Math.max(0, level - ((atMs - last) * capacity) / windowMs)
      last = atMs
    }
    return {
      take: (atMs, weight) => {
        drain(atMs)
        level += weight
        return level <= capacity + 1e-6
      },
      used: (atMs) => {
        drain(atMs)
        return Math.ceil(level)
      },
    }
  },
}
