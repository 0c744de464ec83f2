import { createRequire, syncBuiltinESMExports } from 'node:module'
import { Readable } from 'node:stream'
import type { Action } from './inject-actions.ts'

/*
 * Loaded into a process before the program: wraps what Node, SQLite, DuckDB and the HTTP client offer, so that the n-th
 * operation of a run fails. The program itself has no hook for it.
 */

export interface Plan {
  /** Files outside of it are left alone. */
  readonly root: string
  /** From 1; none of them when absent: then operations are only counted. */
  readonly nth?: number
  readonly action?: Action
  /** Of file operations; EIO unless said. */
  readonly code?: string
}

type Kind = 'file' | 'sqlite' | 'duckdb' | 'http'
// biome-ignore lint/suspicious/noExplicitAny: any function of any library
type AnyFunction = (...args: any[]) => any
type Methods = Record<string, AnyFunction>

const require = createRequire(import.meta.url)
const state = { plan: undefined as Plan | undefined, trace: [] as string[] }

/** Counts from here on, and lets the planned operation fail. */
export function arm(plan: Plan): void {
  state.plan = plan
  state.trace = []
}

/** What was done since it was armed, an operation each. */
export function disarm(): readonly string[] {
  state.plan = undefined
  return state.trace
}

function faultOf(kind: Kind, label: string): Error {
  const code = state.plan?.code ?? 'EIO'
  const message = `injected into ${label}`
  if (kind === 'sqlite') {
    const errcode = code === 'ENOSPC' ? 13 : 10
    return Object.assign(new Error(message), { code: 'ERR_SQLITE_ERROR', errcode })
  }
  if (kind === 'duckdb')
    return new Error(`IO Error: ${message}${code === 'ENOSPC' ? ': No space left on device' : ''}`)
  return Object.assign(new Error(`${code}: ${message}`), { code: kind === 'http' ? 'ECONNRESET' : code })
}

const die = () => process.kill(process.pid, 'SIGKILL')

/** What becomes of one operation. */
function verdict(label: string): Action | 'pass' {
  const { plan } = state
  if (!plan) return 'pass'
  const n = state.trace.push(label)
  if (plan.nth === undefined || n < plan.nth) return 'pass'
  if (n === plan.nth) return plan.action ?? 'pass'
  return plan.action === 'dead' ? 'dead' : 'pass'
}

function step<R>(kind: Kind, label: string, act: () => R): R {
  const what = verdict(label)
  if (what === 'pass') return act()
  if (what === 'kill-before') die()
  // What gives something back is always done: a handle that stays open would be this harness's fault, not the program's.
  const frees = /close|dispose/.test(label)
  if ((what === 'fail-before' || what === 'dead') && !frees) throw faultOf(kind, label)
  const after = (): never => {
    if (what === 'kill-after') die()
    throw faultOf(kind, label)
  }
  const done = act()
  return done instanceof Promise ? (done.then(after) as R) : after()
}

function wrap(
  target: object,
  names: readonly string[],
  around: (name: string, own: AnyFunction) => AnyFunction,
) {
  for (const name of names) {
    const own = (target as Methods)[name]
    if (typeof own === 'function') (target as Methods)[name] = around(name, own)
  }
}

const within = (path: unknown): boolean =>
  state.plan !== undefined && typeof path === 'string' && path.startsWith(state.plan.root)

const short = (path: unknown): string => String(path).slice((state.plan?.root.length ?? 0) + 1)

const onPaths =
  (prefix: string) =>
  (name: string, own: AnyFunction): AnyFunction =>
    function (this: unknown, ...args: unknown[]) {
      if (!within(args[0])) return own.apply(this, args)
      return step('file', `${prefix}${name} ${short(args[0])}`, () => own.apply(this, args))
    }

/** Asynchronous functions throw by rejecting. */
const onPathsLater = (name: string, own: AnyFunction): AnyFunction => {
  const wrapped = onPaths('')(name, own)
  return async (...args: unknown[]) => wrapped(...args)
}

type Told = (error: unknown, result?: number) => void

/** A step that tells a callback, its last argument, how it ended. */
function stepTold(label: string, own: AnyFunction, args: readonly unknown[]): void {
  const told = args.at(-1) as Told
  const act = () =>
    new Promise<number>((resolve, reject) => {
      own(...args.slice(0, -1), (error: unknown, result: number) => (error ? reject(error) : resolve(result)))
    })
  const stepped = async () => step('file', label, act)
  stepped().then((result) => told(null, result), told)
}

function wrapFiles(): void {
  const fs = require('node:fs') as Methods
  const promises = require('node:fs/promises') as Methods
  const handles = new WeakMap<object, string>()
  const open = promises.open!
  wrap(
    promises,
    [
      'rename',
      'link',
      'rm',
      'unlink',
      'mkdir',
      'readFile',
      'writeFile',
      'opendir',
      'readdir',
      'copyFile',
      'stat',
    ],
    onPathsLater,
  )
  let wrapped = false
  promises.open = async (...args: unknown[]) => {
    if (!within(args[0])) return open(...args)
    const label = `open ${short(args[0])}`
    const handle = (await step('file', label, () => open(...args))) as object
    handles.set(handle, short(args[0]))
    if (!wrapped) {
      wrapped = true
      const names = [
        'writev',
        'write',
        'writeFile',
        'datasync',
        'sync',
        'close',
        'read',
        'readFile',
        'stat',
        'truncate',
      ]
      wrap(
        Object.getPrototypeOf(handle) as object,
        names,
        (name, own) =>
          async function (this: object, ...args: unknown[]) {
            const path = state.plan && handles.get(this)
            if (path === undefined) return own.apply(this, args)
            return step('file', `${name} ${path}`, () => own.apply(this, args))
          },
      )
    }
    return handle
  }
  const descriptors = new Map<number, string>()
  wrap(
    fs,
    ['opendirSync', 'renameSync', 'rmSync', 'mkdirSync', 'readFileSync', 'writeFileSync', 'statSync'],
    onPaths(''),
  )
  const openSync = fs.openSync!
  fs.openSync = (...args: unknown[]) => {
    if (!within(args[0])) return openSync(...args)
    const fd = step('file', `openSync ${short(args[0])}`, () => openSync(...args) as number)
    descriptors.set(fd, short(args[0]))
    return fd
  }
  wrap(
    fs,
    ['writeSync', 'fsyncSync', 'readSync', 'fstatSync', 'ftruncateSync', 'closeSync'],
    (name, own) =>
      (...args) => {
        const path = state.plan && descriptors.get(args[0] as number)
        if (name === 'closeSync') descriptors.delete(args[0] as number)
        return path === undefined ? own(...args) : step('file', `${name} ${path}`, () => own(...args))
      },
  )
  wrap(fs, ['writev', 'write', 'fdatasync', 'fsync'], (name, own) => (fd, ...args) => {
    const path = state.plan && descriptors.get(fd as number)
    if (path === undefined) return own(fd, ...args)
    stepTold(`${name} ${path}`, own, [fd, ...args])
  })
  wrap(fs, ['open'], (_, own) => (path, ...args) => {
    if (!within(path)) return own(path, ...args)
    const told = args.pop() as Told
    stepTold(`open ${short(path)}`, own, [
      ...[path, ...args],
      (error: unknown, fd?: number) => {
        if (fd !== undefined) descriptors.set(fd, short(path))
        told(error, fd)
      },
    ])
  })
  const createReadStream = fs.createReadStream!
  fs.createReadStream = (...args: unknown[]) => {
    if (!within(args[0])) return createReadStream(...args)
    try {
      return step('file', `createReadStream ${short(args[0])}`, () => createReadStream(...args))
    } catch (error) {
      return new Readable({ read: () => {}, construct: (ready) => ready(error as Error) })
    }
  }
}

function wrapSqlite(): void {
  const { DatabaseSync, StatementSync } = require('node:sqlite') as typeof import('node:sqlite')
  const about = (sql: unknown) => String(sql).trim().replace(/\s+/g, ' ').slice(0, 40)
  const statements = new WeakMap<object, string>()
  wrap(
    DatabaseSync.prototype,
    ['exec', 'close'],
    (name, own) =>
      function (this: unknown, ...args: unknown[]) {
        return step('sqlite', `sqlite ${name} ${about(args[0] ?? '')}`, () => own.apply(this, args))
      },
  )
  wrap(
    DatabaseSync.prototype,
    ['prepare'],
    (_, own) =>
      function (this: unknown, ...args: unknown[]) {
        const statement = own.apply(this, args) as object
        statements.set(statement, about(args[0]))
        return statement
      },
  )
  wrap(
    StatementSync.prototype,
    ['run', 'get', 'all', 'iterate'],
    (name, own) =>
      function (this: object, ...args: unknown[]) {
        return step('sqlite', `sqlite ${name} ${statements.get(this) ?? ''}`, () => own.apply(this, args))
      },
  )
}

function wrapDuckdb(): void {
  const { DuckDBConnection, DuckDBInstance } =
    require('@duckdb/node-api') as typeof import('@duckdb/node-api')
  const later = (name: string, own: AnyFunction): AnyFunction =>
    async function (this: unknown, ...args: unknown[]) {
      return step('duckdb', `duckdb ${name} ${String(args[0]).slice(0, 40)}`, () => own.apply(this, args))
    }
  // `runAndReadAll` is made of `run`.
  wrap(DuckDBConnection.prototype, ['run', 'stream'], later)
  wrap(DuckDBInstance, ['create'], later)
}

type Handler = {
  onResponseEnd: AnyFunction
  onResponseError: AnyFunction
} & Record<string, AnyFunction | undefined>

function wrapHttp(): void {
  const { Pool } = require('undici') as { Pool: { prototype: object } }
  const dispatch = (Pool.prototype as Methods).dispatch!
  ;(Pool.prototype as Methods).dispatch = function (
    this: unknown,
    options: { path: string },
    handler: Handler,
  ) {
    const label = `http ${options.path}`
    const what = verdict(label)
    if (what === 'kill-before') die()
    if (what === 'fail-before' || what === 'dead') {
      setImmediate(() => handler.onResponseError(undefined, faultOf('http', label)))
      return true
    }
    if (what === 'pass') return dispatch.call(this, options, handler)
    const after = new Proxy(handler, {
      get(target, name) {
        if (name === 'onResponseEnd') {
          return (controller: unknown) => {
            if (what === 'kill-after') die()
            target.onResponseError(controller, faultOf('http', label))
          }
        }
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    return dispatch.call(this, options, after)
  }
}

wrapFiles()
wrapSqlite()
wrapDuckdb()
wrapHttp()
syncBuiltinESMExports()
