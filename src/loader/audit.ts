import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { escapeSymbol } from '../model/series.ts'
import { DAY_MS, type EpochMs, iso } from '../model/time.ts'
import type { ParquetLoaderConfig } from './config.ts'
import { isAlive, isOwn, ownRunner } from './state/alive.ts'
import { writeAtomic, writeFault } from './state/atomic.ts'

export type SessionStatus = 'running' | 'completed' | 'failed'

/** One session's file, as it stands on disk. */
export interface AuditRecord {
  readonly session_id: string
  readonly kind: string
  readonly symbol: string
  readonly start_time: string
  readonly end_time: string | null
  readonly status: SessionStatus
  /** The process it runs in, and the machine: a session of a process that is gone is over, whatever its status. */
  readonly pid: number
  readonly host: string
  /** What was asked for. */
  readonly request: Readonly<Record<string, unknown>>
  readonly files_discovered: number
  readonly files_processed: number
  readonly files_skipped: number
  readonly files_failed: number
  readonly rows: number
  /** The code and message of what went wrong; null unless failed. */
  readonly error: { readonly code: string; readonly message: string } | null
  /** The last lines of a command's output, where one was run. */
  readonly output: readonly string[]
}

type Counts = Pick<
  AuditRecord,
  'files_discovered' | 'files_processed' | 'files_skipped' | 'files_failed' | 'rows'
>

/** A session under way. Its file is replaced whole at every change, so that it can be read at any moment. */
export interface AuditSession {
  readonly id: string
  readonly record: AuditRecord
  /** Adds to the counts. */
  count(more: Partial<Counts>): Promise<void>
  note(lines: readonly string[]): Promise<void>
  /** Ends it. A session that has ended stays as it is: a failed one cannot become completed. */
  end(status: 'completed' | 'failed', error?: unknown): Promise<void>
}

/** Writes one JSON file for every run to `audit_logs/` in the root, and keeps the newest `max_log_files`. */
export class AuditLogger {
  readonly dir: string
  readonly #filesMax: number
  readonly #enabled: boolean
  readonly #nowMs: () => number

  constructor(config: Pick<ParquetLoaderConfig, 'rootDir' | 'audit'>, nowMs: () => number = Date.now) {
    this.dir = join(config.rootDir, config.audit.log_dir)
    this.#filesMax = config.audit.max_log_files
    this.#enabled = config.audit.enabled
    this.#nowMs = nowMs
  }

  /** `{SYMBOL}_{YYYYMMDD_HHMMSS}`, UTC; a second one within the second ends in `-2`. */
  async start(
    kind: string,
    symbol: string,
    request: Readonly<Record<string, unknown>>,
  ): Promise<AuditSession> {
    const startMs = this.#nowMs()
    const stamp = new Date(startMs).toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '_')
    const id = await this.#claim(`${escapeSymbol(symbol)}_${stamp}`)
    const session = new Session(
      { kind, symbol, request, session_id: id, start_time: iso(startMs), ...fresh, ...ownRunner() },
      this.#enabled ? join(this.dir, `${id}.json`) : undefined,
      this.#nowMs,
    )
    await session.count({})
    return session
  }

  async #claim(base: string): Promise<string> {
    if (!this.#enabled) return base
    await mkdir(this.dir, { recursive: true }).catch((cause: unknown) => {
      throw writeFault(this.dir, cause)
    })
    await this.#prune()
    for (let n = 1; ; n++) {
      const id = n === 1 ? base : `${base}-${n}`
      const path = join(this.dir, `${id}.json`)
      try {
        await (await open(path, 'wx')).close()
        return id
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw writeFault(path, cause)
      }
    }
  }

  /** Leaves room for one more: the oldest go first, those under way not at all. */
  async #prune(): Promise<void> {
    const names = (await readdir(this.dir)).filter((name) => stampPattern.test(name))
    const stamp = (name: string) => stampPattern.exec(name)![0].replace('.json', '')
    let left = names.length + 1 - this.#filesMax
    for (const name of names.sort((a, b) => (stamp(a) < stamp(b) ? -1 : 1))) {
      if (left <= 0) return
      if (await this.#isUnderWay(name)) continue
      await rm(join(this.dir, name), { force: true })
      left--
    }
  }

  /** Where the process cannot be asked after, a session counts as over a month after its start. */
  async #isUnderWay(name: string): Promise<boolean> {
    const path = join(this.dir, name)
    if (underWay.has(path)) return true
    const text = await readFile(path, 'utf8').catch(() => undefined)
    if (text === undefined) return false // another process has removed it meanwhile
    const { status = 'running', ...runner } = parse(text)
    if (status !== 'running' || isOwn(runner)) return false
    return isAlive(runner) ?? this.#nowMs() - startOf(name) < 30 * DAY_MS
  }
}

/** The files of sessions under way in this process. */
const underWay = new Set<string>()

const stampPattern = /_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)(-\d+)?\.json$/

function startOf(name: string): EpochMs {
  const [year, month, day, hour, minute, second] = stampPattern.exec(name)!.slice(1).map(Number)
  return Date.UTC(year!, month! - 1, day, hour, minute, second)
}

/** What can be made out of a session's file: nothing, where it has just been made. */
function parse(text: string): Partial<AuditRecord> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<AuditRecord>
  } catch {
    return {}
  }
}

const fresh = {
  end_time: null,
  status: 'running',
  files_discovered: 0,
  files_processed: 0,
  files_skipped: 0,
  files_failed: 0,
  rows: 0,
  error: null,
  output: [],
} as const

class Session implements AuditSession {
  record: AuditRecord
  readonly #path: string | undefined
  readonly #nowMs: () => number

  constructor(record: AuditRecord, path: string | undefined, nowMs: () => number) {
    this.record = record
    this.#path = path
    this.#nowMs = nowMs
    if (path) underWay.add(path)
  }

  get id(): string {
    return this.record.session_id
  }

  async count(more: Partial<Counts>): Promise<void> {
    const sum = { ...this.record } as { -readonly [key in keyof AuditRecord]: AuditRecord[key] }
    for (const key of Object.keys(more) as (keyof Counts)[]) sum[key] += more[key] ?? 0
    await this.#write(sum)
  }

  async note(lines: readonly string[]): Promise<void> {
    await this.#write({ ...this.record, output: [...this.record.output, ...lines].slice(-100) })
  }

  async end(status: 'completed' | 'failed', error?: unknown): Promise<void> {
    if (this.record.status !== 'running') return
    if (this.#path) underWay.delete(this.#path)
    const detail = error instanceof Error ? error : undefined
    await this.#write({
      ...this.record,
      status,
      end_time: iso(this.#nowMs()),
      error: detail
        ? { code: String((detail as { code?: unknown }).code ?? detail.name), message: detail.message }
        : null,
    })
  }

  async #write(record: AuditRecord): Promise<void> {
    this.record = record
    if (this.#path) await writeAtomic(this.#path, `${JSON.stringify(record, null, 2)}\n`)
  }
}
