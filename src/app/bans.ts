import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Ban, BanBook } from '../fetch/ban-book.ts'
import type { Clock } from '../model/events.ts'

/** Refusals as `<root>/.everybar/bans.json`. A file that cannot be read, or written, is as good as none. */
export function openBanBook(root: string, clock: Clock): BanBook {
  const path = join(root, '.everybar', 'bans.json')
  const known = (): readonly Ban[] => {
    try {
      const found: unknown = JSON.parse(readFileSync(path, 'utf8'))
      return Array.isArray(found) ? found.filter(isBan) : []
    } catch {
      return []
    }
  }
  const note = (ban: Ban): void => {
    const others = known().filter(
      ({ bucket, origin, untilMs }) =>
        untilMs > clock.nowMs() && !(bucket === ban.bucket && origin === ban.origin),
    )
    const temporary = `${path}.${process.pid}.tmp`
    try {
      writeFileSync(temporary, `${JSON.stringify([...others, ban])}\n`)
      renameSync(temporary, path)
    } catch {
      // The run has worse to tell than this.
    }
  }
  return { known, note }
}

function isBan(value: unknown): value is Ban {
  const { bucket, origin, kind, sinceMs, untilMs } = (value ?? {}) as Partial<Record<keyof Ban, unknown>>
  const named = typeof bucket === 'string' && typeof origin === 'string'
  return named && (kind === 'banned' || kind === 'rate-limited') && isMs(sinceMs) && isMs(untilMs)
}

const isMs = (value: unknown): value is number => Number.isSafeInteger(value)
