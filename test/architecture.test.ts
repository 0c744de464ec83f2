import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))

/** Imports run down only. Rooms on one floor cannot see each other. */
const floors: Readonly<Record<string, number>> = {
  model: 0,
  chunking: 1,
  source: 2,
  fetch: 2,
  archive: 2,
  ledger: 2,
  validate: 2,
  store: 2,
  coverage: 2,
  loader: 2,
  simulator: 2,
  pipeline: 3,
  config: 4,
  telemetry: 4,
  app: 5,
  testing: 6,
  web: 6,
  cli: 7,
}
/** The only rooms that open another room's sub-folders: `app` names adapters. */
const openers = new Set(['app'])
/** Rooms that may name modules with I/O or read a clock. The others are pure. */
const pure = new Set(['model', 'chunking', 'source', 'validate', 'coverage', 'pipeline'])
const impure = /^(?:node:(?:fs|net|http|https|dgram|tls|child_process|worker_threads|sqlite)(?:\/|$)|undici$)/

interface Import {
  readonly file: string
  readonly room: string
  readonly specifier: string
  readonly target?: string
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    return statSync(path).isDirectory() ? filesUnder(path) : path.endsWith('.ts') ? [path] : []
  })
}

const files = filesUnder(src)
const roomOf = (path: string) => relative(src, path).split('/')[0]!

function importsOf(path: string): Import[] {
  const text = readFileSync(path, 'utf8')
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
  return found.map((specifier) => ({
    file: relative(src, path),
    room: roomOf(path),
    specifier,
    ...(specifier.startsWith('.') && { target: relative(src, resolve(dirname(path), specifier)) }),
  }))
}

const imports = files.flatMap(importsOf)
const inside = imports.filter((i): i is Import & { target: string } => i.target !== undefined)
const isEntry = (file: string) => !file.includes('/')
const say = (i: Import) => `${i.file} imports ${i.specifier}`

describe('the house', () => {
  test('every room has a floor', () => {
    const rooms = [...new Set(files.map(roomOf).filter((room) => !room.endsWith('.ts')))]
    expect(rooms.filter((room) => !(room in floors))).toEqual([])
  })

  test('imports run down only', () => {
    const wrong = inside.filter((i) => {
      if (isEntry(i.file)) return false
      const to = i.target.split('/')[0]!
      return i.room !== to && !(floors[i.room]! > floors[to]!)
    })
    expect(wrong.map(say)).toEqual([])
  })

  test('a room is entered by its door: its sub-folders are private', () => {
    const wrong = inside.filter((i) => {
      const [to, ...path] = i.target.split('/')
      return i.room !== to && path.length > 1 && !openers.has(i.room) && !isEntry(i.file)
    })
    expect(wrong.map(say)).toEqual([])
  })

  test('pure rooms touch no file, socket, process or thread', () => {
    expect(imports.filter((i) => pure.has(i.room) && impure.test(i.specifier)).map(say)).toEqual([])
  })

  test('pure rooms read no clock, draw no lots and call no global fetch', () => {
    const banned =
      /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|(?<![.\w])fetch\(|\bsetTimeout\(|\bperformance\.now\(/
    const wrong = files
      .filter((path) => pure.has(roomOf(path)))
      .flatMap((path) =>
        readFileSync(path, 'utf8')
          .split('\n')
          .filter((line) => banned.test(line) && !/^\s*(?:\*|\/\/|\/\*)/.test(line))
          .map((line) => `${relative(src, path)}: ${line.trim()}`),
      )
    expect(wrong).toEqual([])
  })

  test('no venue is named outside source, config, app, cli and simulator', () => {
    const rooms = new Set([
      'model',
      'chunking',
      'fetch',
      'archive',
      'ledger',
      'validate',
      'store',
      'coverage',
      'pipeline',
    ])
    const named = /(?<![\w`'"/:.])(?:binance|kraken|kite|coinbase|okx)(?![\w`])/
    const wrong = files
      .filter((path) => rooms.has(roomOf(path)))
      .flatMap((path) =>
        readFileSync(path, 'utf8')
          .replace(/\/\*[\s\S]*?\*\//g, '')
          .split('\n')
          .filter((line) => named.test(line.replace(/\/\/.*$/, '').replace(/hint: .*/, '')))
          .map((line) => `${relative(src, path)}: ${line.trim()}`),
      )
    expect(wrong).toEqual([])
  })

  test('files stay under 400 lines', () => {
    const long = files.filter((path) => readFileSync(path, 'utf8').split('\n').length > 400)
    expect(long.map((path) => relative(src, path))).toEqual([])
  })

  test('exports are named and imports carry their ending', () => {
    expect(files.filter((path) => /^export default/m.test(readFileSync(path, 'utf8')))).toEqual([])
    expect(inside.filter((i) => !/\.(?:ts|json)$/.test(i.specifier)).map(say)).toEqual([])
  })
})
