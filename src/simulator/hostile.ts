import { gzipSync } from 'node:zlib'
import { DAY_MS } from '../model/time.ts'
import type { Answer } from './http.ts'

/** A way to spoil an honest answer. `value` is the number given with the fault, where it takes one. */
export interface Hostility {
  /** What it does, in a few words. */
  readonly what: string
  readonly apply: (answer: Answer, value: number | undefined) => Answer
}

type Row = unknown[]
type RowChange = (rows: Row[], value: number | undefined) => Row[]

const page = (title: string): Uint8Array =>
  Buffer.from(
    `<!DOCTYPE html>\n<html><head><title>${title}</title></head><body><h1>${title}</h1></body></html>\n`,
  )

const html = { 'Content-Type': 'text/html' }

const withBody = (answer: Answer, text: string | Uint8Array): Answer => ({
  ...answer,
  body: typeof text === 'string' ? Buffer.from(text) : text,
})

/** Applies to answers that are arrays of arrays; others pass unchanged, and so do empty ones. */
function onRows(what: string, change: RowChange): Hostility {
  const apply = (answer: Answer, value: number | undefined): Answer => {
    if (answer.status !== 200 || answer.headers['Content-Encoding']) return answer
    const rows: unknown = JSON.parse(Buffer.from(answer.body).toString('utf8'))
    if (!Array.isArray(rows) || rows.length === 0 || !rows.every(Array.isArray)) return answer
    return withBody(answer, JSON.stringify(change(rows as Row[], value)))
  }
  return { what, apply }
}

/** Changes the row in the middle of the page. */
const onMiddleRow = (what: string, change: (row: Row, value: number | undefined) => Row): Hostility =>
  onRows(what, (rows, value) => {
    const middle = rows.length >> 1
    return rows.map((row, i) => (i === middle ? change([...row], value) : row))
  })

const setCell = (row: Row, column: number, cell: unknown): Row => {
  row[column] = cell
  return row
}

const shiftTimes = (row: Row, ms: number): Row => {
  row[0] = Number(row[0]) + ms
  row[6] = Number(row[6]) + ms
  return row
}

/** The same number of places, another number. */
const scaleText = (cell: unknown, factor: number): string => {
  const text = String(cell)
  return (Number(text) * factor).toFixed(text.includes('.') ? text.length - text.indexOf('.') - 1 : 0)
}

/** Answers that are not what was asked for, or not an answer at all. */
const bodies = {
  html: {
    what: 'an HTML page with status 200, as captive portals and proxies send',
    apply: (answer) => ({ status: 200, headers: { ...answer.headers, ...html }, body: page('Welcome') }),
  },
  blank: { what: 'no body, status 200', apply: (answer) => withBody(answer, '') },
  null: { what: '`null`', apply: (answer) => withBody(answer, 'null') },
  empty: { what: 'an empty array, whatever was asked', apply: (answer) => withBody(answer, '[]') },
  truncate: {
    what: 'JSON cut off, at =N bytes or in the middle; the length header agrees with what is sent',
    apply: (answer, value) => withBody(answer, answer.body.subarray(0, value ?? answer.body.length >> 1)),
  },
  error: {
    what: 'an error object with status 200; =N is its code without the sign, 1000 when left out',
    apply: (answer, value) =>
      withBody(answer, JSON.stringify({ code: -(value ?? 1000), msg: 'An unknown error occurred.' })),
  },
  status: {
    what: 'HTTP status =N with an HTML page; written as the bare number: 500, 502, 503, 403, 408, 451',
    apply: (answer, value) => ({
      status: value ?? 500,
      headers: { ...answer.headers, ...html },
      body: page(value === 403 ? 'Request blocked' : `${value ?? 500}`),
    }),
  },
  redirect: {
    what: 'a redirect to another host',
    apply: (answer) => ({
      status: 302,
      headers: { ...answer.headers, Location: 'http://elsewhere.invalid/' },
      body: new Uint8Array(),
    }),
  },
} satisfies Record<string, Hostility>

/** Answers that are right, but do not arrive. */
const deliveries = {
  reset: { what: 'half the body, then the connection is cut', apply: deliver({ kind: 'reset' }) },
  drop: { what: 'the connection is cut before the answer', apply: deliver({ kind: 'drop' }) },
  stall: { what: 'half the body, then silence', apply: deliver({ kind: 'stall' }) },
  slow: {
    what: 'the body in 20 pieces, one every =N ms (50)',
    apply: (answer, value) => {
      const bytes = Math.max(1, Math.ceil(answer.body.length / 20))
      return { ...answer, delivery: { kind: 'drip', bytes, everyMs: value ?? 50 } }
    },
  },
  endless: { what: 'a body that never ends', apply: deliver({ kind: 'endless' }) },
  'bad-gzip': {
    what: 'gzip with a byte wrong in the middle',
    apply: (answer) => {
      const packed = gzipSync(answer.body)
      const middle = packed.length >> 1
      packed.fill(packed[middle]! ^ 0xff, middle, middle + 1)
      return encoded(answer, packed)
    },
  },
  'gzip-bomb': {
    what: 'a megabyte of gzip that unpacks to =N MB (1024)',
    apply: (answer, value) => encoded(answer, bomb(value ?? 1024)),
  },
} satisfies Record<string, Hostility>

/** Answers of the right shape with rows that are not right. */
const rows = {
  duplicate: onRows('the middle row twice', (all) => {
    const middle = all.length >> 1
    return [...all.slice(0, middle + 1), ...all.slice(middle)]
  }),
  reverse: onRows('newest first', (all) => [...all].reverse()),
  shuffle: onRows('the halves swapped', (all) => [
    ...all.slice(all.length >> 1),
    ...all.slice(0, all.length >> 1),
  ]),
  'off-grid': onMiddleRow('the middle row =N ms late (14789, as in February 2018)', (row, value) =>
    shiftTimes(row, value ?? 14_789),
  ),
  'next-week': onRows('one row more, from seven days on', (all) => [
    ...all,
    shiftTimes([...all.at(-1)!], 7 * DAY_MS),
  ]),
  'null-price': onMiddleRow('`null` as a close', (row) => setCell(row, 4, null)),
  nan: onMiddleRow('the text NaN as a close', (row) => setCell(row, 4, 'NaN')),
  blanks: onMiddleRow('an empty text as a volume', (row) => setCell(row, 5, '')),
  negative: onMiddleRow('a low below zero', (row) => setCell(row, 3, '-1.00000000')),
  exponent: onMiddleRow('a price with an exponent', (row) => setCell(row, 1, Number(row[1]).toExponential())),
  'high-below-low': onMiddleRow('high and low changed about, further apart', (row) => {
    const high = row[2]
    return setCell(setCell(row, 2, scaleText(row[3], 0.99)), 3, high)
  }),
  short: onRows('the first half only, without reason', (all) => all.slice(0, Math.ceil(all.length / 2))),
  hole: onRows('=N rows (10) missing from the middle', (all, value) => {
    const middle = all.length >> 1
    return [...all.slice(0, middle), ...all.slice(middle + (value ?? 10))]
  }),
  restated: onMiddleRow('a close and volume other than those sent before', (row) =>
    setCell(setCell(row, 4, row[2]), 5, scaleText(row[5], 1.5)),
  ),
  micros: onRows('microseconds for milliseconds', (all) =>
    all.map((row) => setCell(setCell([...row], 0, Number(row[0]) * 1000), 6, Number(row[6]) * 1000 + 999)),
  ),
  'missing-columns': onRows('rows of seven columns', (all) => all.map((row) => row.slice(0, 7))),
  'extra-columns': onRows('rows of thirteen columns', (all) => all.map((row) => [...row, '0'])),
  numbers: onRows('numbers where there was text', (all) =>
    all.map((row) => row.map((cell) => (typeof cell === 'string' ? Number(cell) : cell))),
  ),
} satisfies Record<string, Hostility>

function deliver(delivery: NonNullable<Answer['delivery']>): Hostility['apply'] {
  return (answer) => ({ ...answer, delivery })
}

const encoded = (answer: Answer, body: Uint8Array): Answer => ({
  ...answer,
  headers: { ...answer.headers, 'Content-Encoding': 'gzip' },
  body,
})

const bombs = new Map<number, Buffer>()

/** Members of 64 MB each: unpackers read a file of several members as one. Made once. */
function bomb(megabytes: number): Buffer {
  const made = bombs.get(megabytes)
  if (made) return made
  const member = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '), { level: 9 })
  const packed = Buffer.concat(Array.from({ length: Math.max(1, Math.ceil(megabytes / 64)) }, () => member))
  bombs.set(megabytes, packed)
  return packed
}

/** Every way to spoil an answer, by name. The same answer spoiled twice in one way is the same answer. */
export const hostile = { ...bodies, ...deliveries, ...rows } as const satisfies Record<string, Hostility>

/** Those that change rows and leave the answer's shape alone: any venue's bars can be spoiled so. */
export const rowFaults: ReadonlySet<string> = new Set(Object.keys(rows))

export type HostileName = keyof typeof hostile

export const isHostileName = (name: string): name is HostileName => Object.hasOwn(hostile, name)
