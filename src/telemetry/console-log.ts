import type { EverybarEvent, OnEvent } from '../model/events.ts'
import { printable, printableJson } from '../model/text.ts'
import { redact, redactText } from './redact.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

const rank: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

export interface ConsoleLogOptions {
  /** Events below it are dropped. */
  readonly level: LogLevel
  /** JSON lines for machines; else one short line for people. */
  readonly json: boolean
  /** Receives one line without its line feed. */
  readonly write: (line: string) => void
  readonly nowMs: () => number
}

/**
 * Events as log lines, one each, secrets dropped: `{"time":…,"level":…,"event":…,…}` or `warn: event key=value`.
 * An event without a level is `info`. Never throws.
 */
export function consoleLog({ level, json, write, nowMs }: ConsoleLogOptions): OnEvent {
  return (event) => {
    const own = event.level ?? 'info'
    if (rank[own] < rank[level]) return
    try {
      write(json ? printableJson(jsonLine(event, own, nowMs())) : printable(plainLine(event, own)))
    } catch {
      // A log line must never end a run.
    }
  }
}

function jsonLine({ event, level: _, ...fields }: EverybarEvent, level: LogLevel, nowMs: number): string {
  return JSON.stringify({ time: new Date(nowMs).toISOString(), level, event, ...(redact(fields) as object) })
}

function plainLine({ event, level: _, ...fields }: EverybarEvent, level: LogLevel): string {
  const said = Object.entries(redact(fields) as object)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return redactText([`${level}: ${event}`, ...said].join(' ').replace(/\s*\n\s*/g, ' '))
}
