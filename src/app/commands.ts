import type { Config } from '../config/schema.ts'
import type { RunRecord } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import type { Series } from '../model/series.ts'
import type { Gap, PlanReport, Selection, SeriesStatus, SyncReport, VerifyReport } from './api.ts'

/** What every command is given. */
export interface AppContext {
  readonly config: Config
  readonly onEvent: OnEvent
  /** Aborted by Ctrl-C: finish the request in flight, checkpoint, and say so in the report. */
  readonly signal: AbortSignal
  readonly clock?: Clock
}

export interface QueryOptions {
  readonly format: 'table' | 'csv' | 'json' | 'jsonl'
  /** Receives the answer in pieces, in order. */
  readonly write: (piece: string) => void | Promise<void>
}

/** One line of `doctor`. */
export interface Check {
  readonly name: string
  readonly state: 'pass' | 'warn' | 'fail'
  readonly detail: string
  /** What to do about it; absent when it passes. */
  readonly hint?: string
}

export interface SimulateOptions {
  /** A folder in the bulk archive's layout; without one, a seeded random walk is served. */
  readonly replay?: string
  readonly seed?: number
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

function notBuilt(name: string): never {
  throw new EverybarError('app.not-built', `${name} is not built yet`, {
    recovery: 'abort',
    hint: 'Use a later version.',
  })
}

export async function plan(_ctx: AppContext, _selection: Selection): Promise<PlanReport> {
  return notBuilt('plan')
}
export async function sync(_ctx: AppContext, _selection: Selection): Promise<SyncReport> {
  return notBuilt('sync')
}
export async function status(
  _ctx: AppContext,
  _selection?: Partial<Selection>,
): Promise<readonly SeriesStatus[]> {
  return notBuilt('status')
}
export async function gaps(_ctx: AppContext, _selection: Selection): Promise<readonly Gap[]> {
  return notBuilt('gaps')
}
export async function verify(_ctx: AppContext, _selection: Selection): Promise<VerifyReport> {
  return notBuilt('verify')
}
export async function query(_ctx: AppContext, _sql: string, _options: QueryOptions): Promise<void> {
  return notBuilt('query')
}
/** Latest first. */
export async function runs(_ctx: AppContext, _limit: number): Promise<readonly RunRecord[]> {
  return notBuilt('runs')
}
export async function run(_ctx: AppContext, _id: string): Promise<RunRecord | undefined> {
  return notBuilt('run')
}
/** Selectors whose symbol holds `*` or `?` become every symbol of the venue they match; others stand for themselves. */
export async function expandSelectors(
  _ctx: AppContext,
  _patterns: readonly string[],
): Promise<readonly Series[]> {
  return notBuilt('expandSelectors')
}
export async function doctor(_ctx: AppContext): Promise<readonly Check[]> {
  return notBuilt('doctor')
}
export async function simulate(_ctx: AppContext, _options: SimulateOptions): Promise<RunningSimulator> {
  return notBuilt('simulate')
}
