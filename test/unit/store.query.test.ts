import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { lakePath } from '../../src/model/lake.ts'
import { parseSeries } from '../../src/model/series.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { type Cell, type QueryColumn, queryLake } from '../../src/store/query.ts'
import { type QueryFormat, queryFormatter } from '../../src/store/query-format.ts'
import { minuteBars } from '../../src/testing/store-samples.ts'

const odd = `O'HARA"; DROP TABLE bars;--`
let root: string

beforeAll(async () => {
  // A name that SQL and path patterns would read as something else.
  root = await mkdtemp(join(tmpdir(), "everybar's query [x]*-"))
  const lake = await openLake({ root })
  await lake.commit(
    parseSeries('test:spot:BTCUSDT:1m'),
    minuteBars(50, 70, (m) => ({ native: { trades: m } })),
  )
  await lake.commit(parseSeries('test:um:BTCUSDT:1m'), minuteBars(0, 5))
  await lake.commit(parseSeries('test:um:btcusdt:1M'), minuteBars(0, 2))
  await lake.commit(parseSeries(`test:spot:${odd}:1m`), minuteBars(0, 3))
  await lake[Symbol.asyncDispose]()
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function ask(sql: string, where = root) {
  let columns: readonly QueryColumn[] = []
  const rows: (readonly Cell[])[] = []
  const count = await queryLake({
    root: where,
    sql,
    onColumns: (given) => {
      columns = given
    },
    onRows: (some) => {
      rows.push(...some)
    },
  })
  expect(count).toBe(rows.length)
  return { columns, rows }
}

describe('the view bars', () => {
  const answers: readonly (readonly [string, Cell[][]])[] = [
    [
      'SELECT market, symbol, timeframe, price, count(*), count(trades) FROM bars GROUP BY ALL ORDER BY ALL',
      [
        ['spot', 'BTCUSDT', '1m', 'trade', 20, 20],
        ['spot', odd, '1m', 'trade', 3, 0],
        ['um', 'BTCUSDT', '1m', 'trade', 5, 0],
        ['um', 'btcusdt', '1M', 'trade', 2, 0],
      ],
    ],
    [
      `SELECT open_time, volume, trades FROM bars WHERE market = 'spot' AND symbol = 'BTCUSDT' AND open_time >= '2024-02-01 00:08' ORDER BY 1`,
      [
        ['2024-02-01T00:08:00Z', 68, 68],
        ['2024-02-01T00:09:00Z', 69, 69],
      ],
    ],
    [`SELECT count(*) FROM bars WHERE symbol = 'O''HARA"; DROP TABLE bars;--'`, [[3]]],
    ['WITH x AS (SELECT 1 AS a) SELECT a FROM x', [[1]]],
    ['-- a comment\nSELECT 1;', [[1]]],
  ]
  for (const [sql, expected] of answers) {
    test(sql, async () => expect((await ask(sql)).rows).toEqual(expected))
  }

  test('has its columns also in a root without a lake', async () => {
    const empty = await mkdtemp(join(tmpdir(), 'everybar-empty-'))
    const [none, some] = [await ask('SELECT * FROM bars', empty), await ask('SELECT * FROM bars')]
    await rm(empty, { recursive: true })
    expect(none.rows).toEqual([])
    expect(none.columns).toEqual(some.columns)
    expect(none.columns.slice(4, 7)).toEqual([
      { name: 'price', type: 'VARCHAR' },
      { name: 'open_time', type: 'TIMESTAMP' },
      { name: 'open', type: 'DOUBLE' },
    ])
  })

  for (const sql of [
    'DESCRIBE bars',
    'SHOW TABLES',
    'SUMMARIZE bars',
    'EXPLAIN SELECT * FROM bars',
    ' /* x */ explain analyze SELECT 1',
  ]) {
    test(`may be looked at: ${sql}`, async () => expect((await ask(sql)).rows.length).toBeGreaterThan(0))
  }
})

describe('a query can only read', () => {
  const refused: readonly (readonly [string, string])[] = [
    ["COPY bars TO '$LAKE/x.parquet'", 'query.not-a-select'],
    ["EXPLAIN ANALYZE COPY bars TO '$LAKE/x.parquet'", 'query.not-a-select'],
    ['CREATE TABLE t AS SELECT 1', 'query.not-a-select'],
    ['SET enable_external_access = true', 'query.not-a-select'],
    ['INSTALL httpfs', 'query.not-a-select'],
    ["ATTACH '$LAKE/x.db'", 'query.not-a-select'],
    ['PRAGMA database_list', 'query.not-a-select'],
    ['SELECT 1; SELECT 2', 'query.not-a-select'],
    ['SELECT 1; DROP VIEW bars', 'query.not-a-select'],
    ['', 'query.not-a-select'],
    ['-- nothing', 'query.not-a-select'],
    ["SELECT * FROM read_text('/etc/passwd')", 'query.not-allowed'],
    ["SELECT * FROM glob('/etc/*')", 'query.not-allowed'],
    ["SELECT * FROM read_text('$LAKE/../beside.txt')", 'query.not-allowed'],
    ["SELECT * FROM read_text('$LAKE/binance/../../beside.txt')", 'query.not-allowed'],
    ["SELECT * FROM read_text('$LAKE2/beside.txt')", 'query.not-allowed'],
    ["SELECT * FROM glob('$LAKE/../*')", 'query.not-allowed'],
    ["SELECT * FROM read_text('file:///etc/passwd')", 'query.not-allowed'],
    ["SELECT * FROM read_csv('http://127.0.0.1:1/x')", 'query.not-allowed'],
    ["SELECT * FROM parquet_metadata('/etc/passwd')", 'query.not-allowed'],
    ['SELECT * FROM duckdb_secrets()', 'query.not-allowed'],
    [
      "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''/etc/passwd'')'))",
      'query.not-allowed',
    ],
    ["SELECT * FROM query('COPY (SELECT 1) TO ''$LAKE/x.csv''')", 'query.bad-sql'],
    ["SELECT * FROM '/etc/passwd'", 'query.bad-sql'],
    ['SELEC 1', 'query.bad-sql'],
    ['SELECT nope FROM bars', 'query.bad-sql'],
    ['SELECT * FROM nowhere', 'query.bad-sql'],
    ["SELECT 'x'::INTEGER", 'query.bad-sql'],
  ]
  for (const [sql, code] of refused) {
    test(`${sql || '(nothing)'} → ${code}`, async () => {
      const text = sql.replace('$LAKE', `${root}/lake`.replaceAll("'", "''"))
      const before = await readdir(root, { recursive: true })
      await expect(ask(text)).rejects.toMatchObject({ code, recovery: 'abort', hint: expect.any(String) })
      expect(await readdir(root, { recursive: true })).toEqual(before)
    })
  }

  test('an unknown root is an error, not an empty answer', async () => {
    await expect(ask('SELECT 1', join(root, 'nope'))).rejects.toMatchObject({ code: 'root.not-found' })
  })

  test('a damaged file is named', async () => {
    const own = await mkdtemp(join(tmpdir(), 'everybar-damaged-'))
    const lake = await openLake({ root: own })
    const series = parseSeries('test:spot:X:1m')
    await lake.commit(series, minuteBars(0, 100))
    await lake[Symbol.asyncDispose]()
    const path = join(own, lakePath(series, Date.UTC(2024, 1, 1)))
    await writeFile(path, 'this is no parquet file, but long enough to be one')
    await expect(ask('SELECT count(close) FROM bars', own)).rejects.toMatchObject({
      code: 'store.corrupt',
      path,
    })
    await rm(own, { recursive: true })
  })

  test.each([0, 5, 20, 50, 200])('stops when told to, after %i ms', async (ms) => {
    const stop = new AbortController()
    const query = queryLake({
      root,
      sql: 'SELECT count(*) FROM range(100000000) a, range(100000) b WHERE (a.range * b.range) % 7 = 3',
      onRows: () => {},
      signal: stop.signal,
    })
    setTimeout(() => stop.abort(new Error('enough')), ms)
    await expect(query).rejects.toThrow('enough')
  })
})

describe('cells', () => {
  const cells: readonly (readonly [string, Cell])[] = [
    ['9007199254740991', 9007199254740991],
    ['9007199254740993', 9007199254740993n],
    ['170141183460469231731687303715884105727', 170141183460469231731687303715884105727n],
    ['1.50::DECIMAL(5,2)', 1.5],
    ['12345678901234567.89::DECIMAL(19,2)', '12345678901234567.89'],
    ['0.1::DOUBLE + 0.2', 0.1 + 0.2],
    ["TIMESTAMP '2024-01-01'", '2024-01-01T00:00:00Z'],
    ["TIMESTAMP '1969-12-31 23:59:59.5'", '1969-12-31T23:59:59.500Z'],
    ["TIMESTAMP '2024-01-01 00:00:00.000123'", '2024-01-01T00:00:00.000123Z'],
    ["TIMESTAMPTZ '2024-01-01 01:00:00+01'", '2024-01-01T00:00:00Z'],
    ["TIMESTAMP_S '2024-01-01'", '2024-01-01T00:00:00Z'],
    ["TIMESTAMP_MS '2024-01-01 00:00:00.001'", '2024-01-01T00:00:00.001Z'],
    ["'infinity'::TIMESTAMP", 'infinity'],
    ["DATE '2024-02-29'", '2024-02-29'],
    ["TIME '01:02:03'", '01:02:03'],
    ["INTERVAL '3 days'", '3 days'],
    ['NULL', null],
    ['true', true],
    ["['a', NULL]", ['a', null]],
    ["{'t': DATE '2024-01-01', 'n': [1]}", { t: '2024-01-01', n: [1] }],
    ["MAP {'k': 1}", [{ key: 'k', value: 1 }]],
  ]
  test('are exact', async () => {
    const { rows } = await ask(`SELECT ${cells.map(([sql]) => sql).join(', ')}`)
    expect(rows[0]).toEqual(cells.map(([, cell]) => cell))
  })
})

describe('formats', () => {
  const columns: QueryColumn[] = [
    { name: 'symbol', type: 'VARCHAR' },
    { name: 'bars', type: 'BIGINT' },
    { name: 'note', type: 'VARCHAR' },
  ]
  const rows: Cell[][] = [
    ['BTCUSDT', 1234, 'a,b'],
    ['Ｘ', 12345678901234567890n, 'say "hi"\nthere'],
    [null, Number.NaN, ''],
  ]
  const texts: readonly (readonly [QueryFormat, string])[] = [
    ['csv', 'symbol,bars,note\nBTCUSDT,1234,"a,b"\nＸ,12345678901234567890,"say ""hi""\nthere"\n,NaN,""\n'],
    [
      'json',
      '[{"symbol":"BTCUSDT","bars":1234,"note":"a,b"},\n {"symbol":"Ｘ","bars":"12345678901234567890","note":"say \\"hi\\"\\nthere"},\n {"symbol":null,"bars":"NaN","note":""}]\n',
    ],
    [
      'jsonl',
      '{"symbol":"BTCUSDT","bars":1234,"note":"a,b"}\n{"symbol":"Ｘ","bars":"12345678901234567890","note":"say \\"hi\\"\\nthere"}\n{"symbol":null,"bars":"NaN","note":""}\n',
    ],
    [
      'table',
      'symbol                   bars  note\n' +
        '───────  ────────────────────  ────────\n' +
        'BTCUSDT                  1234  a,b\n' +
        'Ｘ       12345678901234567890  say "hi"\n' +
        '                               there\n' +
        '·                         NaN\n' +
        '(3 rows)\n',
    ],
  ]
  for (const [format, expected] of texts) {
    test(`${format}, whole and row by row`, () => {
      const whole = queryFormatter(format)
      expect(whole.columns(columns) + whole.rows(rows) + whole.end()).toBe(expected)
      const single = queryFormatter(format)
      const pieces = [single.columns(columns), ...rows.map((row) => single.rows([row])), single.end()]
      expect(pieces.join('')).toBe(expected)
    })
  }

  const empty: readonly (readonly [QueryFormat, string])[] = [
    ['csv', 'symbol,bars,note\n'],
    ['json', '[]\n'],
    ['jsonl', ''],
    ['table', 'symbol  bars  note\n──────  ────  ────\n(0 rows)\n'],
  ]
  for (const [format, expected] of empty) {
    test(`${format} of no rows`, () => {
      const formatter = queryFormatter(format)
      expect(formatter.columns(columns) + formatter.rows([]) + formatter.end()).toBe(expected)
    })
  }

  test('a text cannot move the cursor', () => {
    const formatter = queryFormatter('table')
    const text = formatter.columns(columns) + formatter.rows([['\u001b[2J', 1, 'a\rb']]) + formatter.end()
    expect([text.includes('\u001b'), text.includes('\r')]).toEqual([false, false])
  })
})
