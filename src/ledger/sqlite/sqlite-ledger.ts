import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type RangeSet, union } from '../../model/range-set.ts'
import { type EpochMs, overlap, type TimeRange } from '../../model/time.ts'
import { corrupt, notWritable } from '../faults.ts'
import type {
  Ledger,
  LedgerCheck,
  LedgerSeries,
  RunRecord,
  SliceRecord,
  SliceStatus,
  StoredFile,
  StoreFacet,
} from '../ledger.ts'
import { noCounts } from '../status.ts'
import { sqliteFault } from './faults.ts'
import { openToRead, openToWrite } from './open.ts'
import { type Cell, fromFileRow, fromRow, type Row, recordColumns, toFileRow, toRow } from './rows.ts'
import { Seal, structureFaults } from './seal.ts'
import * as sql from './sql.ts'
import { WriteQueue } from './write-queue.ts'

export interface SqliteLedgerOptions {
  /** `<root>/.everybar/ledger.db`; made, with its folder, when opened for writing. */
  readonly path: string
  /** Opens beside a process that writes. Writing is refused; where there is no ledger yet, an empty one is read. */
  readonly readOnly?: boolean
}

/**
 * A ledger in one SQLite file, in WAL mode with every commit synced: a kill at any moment loses nothing that resolved.
 *
 * @throws EverybarError `ledger.newer-version`, `ledger.older-version` (read only), `ledger.corrupt`,
 *   `ledger.not-writable`, `ledger.busy` (abort).
 */
export function openSqliteLedger(options: SqliteLedgerOptions): Ledger {
  return new SqliteLedger(options)
}

const PAGE = 1_000
const LATEST: EpochMs = 9e15
/** Where the position stands in a row of records, after the columns. */
const ID_AT = recordColumns.length

interface SeriesRow {
  readonly id: number
  readonly spanMs: number
  readonly revision: number
}

class SqliteLedger implements Ledger {
  readonly #path: string
  readonly #db: DatabaseSync
  readonly #readOnly: boolean
  readonly #writes: WriteQueue
  readonly #statements = new Map<string, StatementSync>()
  readonly #seal: Seal
  #touched = false
  /** Something else has changed the file: until it is made again, nobody vouches for it. */
  #doubted = false

  constructor({ path, readOnly = false }: SqliteLedgerOptions) {
    this.#path = path
    this.#readOnly = readOnly
    this.#seal = new Seal(path)
    if (!readOnly) this.#doubted = this.#seal.look() === 'changed'
    this.#db = readOnly ? openToRead(path) : openToWrite(path, () => this.#unseal())
    this.#writes = new WriteQueue(this.#db, () => this.#unseal())
  }

  #unseal(): void {
    if (this.#touched) return
    this.#touched = true
    if (this.#doubted) this.#seal.breakOpen()
    else this.#seal.remove()
  }

  async record(series: LedgerSeries, records: readonly SliceRecord[]): Promise<void> {
    if (records.length === 0) return
    const spanMs = records.reduce((span, { range }) => Math.max(span, range.endMs - range.startMs), 0)
    await this.#write(() => {
      const id = this.#know(series, { spanMs })
      const insert = this.#statement(sql.RECORD)
      for (const record of records) insert.run(id, ...toRow(record))
    })
  }

  async recordStored(
    series: LedgerSeries,
    store: string,
    facets: readonly StoreFacet[],
    files: readonly StoredFile[] = [],
  ): Promise<void> {
    if (facets.length + files.length === 0) return
    await this.#write(() => {
      const known = this.#find(series)
      if (!known) return
      this.#run('INSERT OR IGNORE INTO store (name) VALUES (?)', store)
      const storeId = this.#rows('SELECT id FROM store WHERE name = ?', store)[0]![0]!
      const insert = this.#statement(sql.RECORD_STORED)
      for (const { sliceId, sha256, rows } of facets) insert.run(storeId, sha256, rows, known.id, sliceId)
      for (const file of files) {
        if (file.sha256 === null) this.#run(sql.FORGET_FILE, storeId, known.id, file.range.startMs, file.path)
        else this.#run(sql.RECORD_FILE, storeId, known.id, ...toFileRow(file))
      }
    })
  }

  async *storedFiles(series: LedgerSeries, store: string): AsyncIterable<StoredFile> {
    const known = this.#read(() => this.#find(series))
    const rows = known ? this.#read(() => this.#rows(sql.STORED_FILES, store, known.id)) : []
    for (const row of rows) yield fromFileRow(row)
  }

  async forget(series: LedgerSeries, sliceIds: readonly string[]): Promise<void> {
    if (sliceIds.length === 0) return
    await this.#write(() => {
      const known = this.#find(series)
      if (!known) return
      const dropFacets = this.#statement(
        'DELETE FROM stored WHERE store IN (SELECT id FROM store) AND slice = (SELECT id FROM slice WHERE series = ? AND slice_id = ?)',
      )
      const drop = this.#statement('DELETE FROM slice WHERE series = ? AND slice_id = ?')
      this.#know(series, { spanMs: 0 })
      for (const sliceId of sliceIds) {
        dropFacets.run(known.id, sliceId)
        drop.run(known.id, sliceId)
      }
    })
  }

  async get(series: LedgerSeries, sliceId: string): Promise<SliceRecord | undefined> {
    return this.#read(() => {
      const known = this.#find(series)
      const query = `SELECT ${recordColumns.join(', ')} FROM slice WHERE series = ? AND slice_id = ?`
      const [row] = known ? this.#rows(query, known.id, sliceId) : []
      return row && fromRow(row)
    })
  }

  slices(series: LedgerSeries, range?: TimeRange): AsyncIterable<SliceRecord> {
    return this.#records(sql.SLICES, [], series, range)
  }

  notable(series: LedgerSeries, range: TimeRange): AsyncIterable<SliceRecord> {
    return this.#records(sql.NOTABLE, [], series, range)
  }

  unstored(series: LedgerSeries, store: string, range?: TimeRange): AsyncIterable<SliceRecord> {
    return this.#records(sql.UNSTORED, [store], series, range)
  }

  async *#records(
    query: string,
    first: readonly Cell[],
    series: LedgerSeries,
    range?: TimeRange,
  ): AsyncGenerator<SliceRecord> {
    const known = this.#read(() => this.#find(series))
    if (!known) return
    const { startMs, endMs } = range ?? { startMs: -1, endMs: LATEST }
    let position: readonly Cell[] = [startMs - known.spanMs, -1, -1]
    for (;;) {
      const page = this.#read(() =>
        this.#rows(query, ...first, known.id, endMs, startMs, ...position, PAGE).map((row) => ({
          record: fromRow(row),
          id: row[ID_AT]!,
        })),
      )
      for (const { record } of page) yield record
      const last = page.at(-1)
      if (!last || page.length < PAGE) return
      position = [last.record.range.startMs, last.record.range.endMs, last.id]
    }
  }

  async *stored(series: LedgerSeries, store: string): AsyncIterable<StoreFacet> {
    const known = this.#read(() => this.#find(series))
    let position: readonly Cell[] = [-1, -1, -1]
    while (known) {
      const page = this.#read(() => this.#rows(sql.STORED, store, known.id, ...position, PAGE))
      for (const [sliceId, sha256, rows] of page)
        yield { sliceId: sliceId as string, sha256: sha256 as string, rows: rows as number }
      if (page.length < PAGE) return
      position = page.at(-1)!.slice(3)
    }
  }

  async *answeredIds(series: LedgerSeries): AsyncIterable<string> {
    const known = this.#read(() => this.#find(series))
    let last: Cell = ''
    while (known) {
      const page = this.#read(() => this.#rows(sql.ANSWERED_IDS, known.id, last, PAGE))
      for (const [id] of page) yield id as string
      if (page.length < PAGE) return
      last = page.at(-1)![0]!
    }
  }

  async covered(series: LedgerSeries, range: TimeRange): Promise<RangeSet> {
    return this.#read(() => {
      const known = this.#find(series)
      if (!known) return []
      const rows = this.#statement(sql.COVERED).iterate(known.id, range.endMs, range.startMs - known.spanMs)
      const out: TimeRange[] = []
      let open = { startMs: LATEST, endMs: LATEST }
      for (const row of rows as unknown as Iterable<readonly [number, number]>) {
        if (row[0] > open.endMs || open.startMs === LATEST) {
          pushOverlap(out, open, range)
          open = { startMs: row[0], endMs: row[1] }
        } else if (row[1] > open.endMs) open.endMs = row[1]
      }
      pushOverlap(out, open, range)
      return out
    })
  }

  async forgetStore(series: LedgerSeries, store: string): Promise<void> {
    await this.#write(() => {
      const known = this.#find(series)
      if (!known) return
      this.#run(
        'DELETE FROM stored WHERE store = (SELECT id FROM store WHERE name = ?) AND slice IN (SELECT id FROM slice WHERE series = ?)',
        store,
        known.id,
      )
      const files =
        'DELETE FROM stored_file WHERE store = (SELECT id FROM store WHERE name = ?) AND series = ?'
      this.#run(files, store, known.id)
    })
  }

  async series(): Promise<readonly LedgerSeries[]> {
    return this.#read(() =>
      this.#rows('SELECT series_id, endpoint FROM series ORDER BY series_id, endpoint').map(
        ([seriesId, endpoint]) => ({ seriesId: seriesId as string, endpoint: endpoint as string }),
      ),
    )
  }

  async revision(series: LedgerSeries): Promise<number> {
    return this.#read(() => this.#find(series)?.revision ?? 0)
  }

  async counts(series: LedgerSeries): Promise<Readonly<Record<SliceStatus, number>>> {
    return this.#read(() => {
      const counts = noCounts()
      const known = this.#find(series)
      const query = 'SELECT status, count(*) FROM slice WHERE series = ? GROUP BY status'
      for (const [status, count] of known ? this.#rows(query, known.id) : [])
        counts[status as SliceStatus] = count as number
      return counts
    })
  }

  async want(series: LedgerSeries, range: TimeRange): Promise<void> {
    const before = await this.wanted(series)
    if (sameSet(before, union(before, [range]))) return
    await this.#write(() => {
      const id = this.#know(series)
      const wanted = union(this.#wantedOf(id), [range])
      this.#run('DELETE FROM wanted WHERE series = ?', id)
      for (const { startMs, endMs } of wanted)
        this.#run('INSERT INTO wanted (series, start_ms, end_ms) VALUES (?, ?, ?)', id, startMs, endMs)
    })
  }

  async wanted(series: LedgerSeries): Promise<RangeSet> {
    return this.#read(() => {
      const known = this.#find(series)
      return known ? this.#wantedOf(known.id) : []
    })
  }

  #wantedOf(id: number): RangeSet {
    const query = 'SELECT start_ms, end_ms FROM wanted WHERE series = ? ORDER BY start_ms'
    return this.#rows(query, id).map(([start, end]) => ({ startMs: start as number, endMs: end as number }))
  }

  async putFact(series: LedgerSeries, name: string, fact: Readonly<Record<string, unknown>>): Promise<void> {
    const json = JSON.stringify(fact)
    await this.#write(() => {
      const id = this.#know(series)
      this.#run('INSERT OR REPLACE INTO fact (series, name, fact) VALUES (?, ?, ?)', id, name, json)
    })
  }

  async getFact(series: LedgerSeries, name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.#read(() => {
      const known = this.#find(series)
      const query = 'SELECT fact FROM fact WHERE series = ? AND name = ?'
      const [row] = known ? this.#rows(query, known.id, name) : []
      return row && (JSON.parse(row[0] as string) as Readonly<Record<string, unknown>>)
    })
  }

  async putRun(run: RunRecord): Promise<void> {
    const { runId, command, startedAtMs, endedAtMs, exitCode } = run
    const report = JSON.stringify(run.report)
    await this.#write(() => this.#run(sql.PUT_RUN, runId, command, startedAtMs, endedAtMs, exitCode, report))
  }

  async runs(limit = 100): Promise<readonly RunRecord[]> {
    const query =
      'SELECT run_id, command, started_ms, ended_ms, exit_code, report FROM run ORDER BY started_ms DESC, run_id DESC LIMIT ?'
    return this.#read(() =>
      this.#rows(query, limit).map(([runId, command, started, ended, exitCode, report]) => ({
        runId: runId as string,
        command: command as string,
        startedAtMs: started as number,
        endedAtMs: ended as number | null,
        exitCode: exitCode as number | null,
        report: JSON.parse(report as string) as Readonly<Record<string, unknown>>,
      })),
    )
  }

  async check(): Promise<LedgerCheck> {
    const state = this.#doubted ? 'changed' : this.#touched ? 'unsealed' : this.#seal.look()
    if (state === 'whole') return { sealed: true, faults: [] }
    const detail = 'it is not byte for byte what everybar last left'
    const changed = state === 'changed' ? [{ path: this.#path, detail }] : []
    return { sealed: false, faults: [...changed, ...structureFaults(this.#db, this.#path)] }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#db.isOpen) return
    this.#writes.flush()
    try {
      this.#db.close()
    } catch (error) {
      throw sqliteFault(error, this.#path)
    }
    if (!this.#readOnly && !this.#doubted) this.#seal.set()
  }

  /** The series' row, made and widened as needed; only inside a write. */
  #know(series: LedgerSeries, recorded?: { readonly spanMs: number }): number {
    const { seriesId, endpoint } = series
    this.#run(sql.KNOW_SERIES, seriesId, endpoint, recorded?.spanMs ?? 0, recorded ? 1 : 0)
    return this.#find(series)!.id
  }

  #find({ seriesId, endpoint }: LedgerSeries): SeriesRow | undefined {
    const query = 'SELECT id, span_ms, revision FROM series WHERE series_id = ? AND endpoint = ?'
    const [row] = this.#rows(query, seriesId, endpoint)
    return row && { id: row[0] as number, spanMs: row[1] as number, revision: row[2] as number }
  }

  #statement(query: string): StatementSync {
    let statement = this.#statements.get(query)
    if (!statement) {
      statement = this.#db.prepare(query)
      statement.setReturnArrays(true)
      this.#statements.set(query, statement)
    }
    return statement
  }

  #rows(query: string, ...parameters: Cell[]): readonly Row[] {
    return this.#statement(query).all(...parameters) as unknown as readonly Row[]
  }

  #run(query: string, ...parameters: Cell[]): void {
    this.#statement(query).run(...parameters)
  }

  #read<T>(read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (error instanceof SyntaxError) throw corrupt(this.#path, 'a field is not JSON', error)
      throw sqliteFault(error, this.#path)
    }
  }

  async #write(write: () => void): Promise<void> {
    if (this.#readOnly) throw notWritable(this.#path, 'it was opened for reading')
    try {
      await this.#writes.add(write)
    } catch (error) {
      throw sqliteFault(error, this.#path)
    }
  }
}

function pushOverlap(out: TimeRange[], found: TimeRange, range: TimeRange): void {
  const common = overlap(found, range)
  if (common) out.push(common)
}

const sameSet = (a: RangeSet, b: RangeSet): boolean =>
  a.length === b.length &&
  a.every(({ startMs, endMs }, i) => startMs === b[i]!.startMs && endMs === b[i]!.endMs)
