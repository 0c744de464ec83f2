import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { query, sync, verify } from '../../src/index.ts'
import { httpServer } from '../http-server.ts'
import { inFolder, runCli } from '../run-cli.ts'
import { otherVenue, type WireRow } from '../support/other-venue.ts'
import { filesIn } from '../support/root.ts'

const DAY = 86_400_000
const startMs = Date.parse('2024-01-01')
const rows: readonly WireRow[] = Array.from({ length: 31 }, (_, day) => {
  const open = startMs + day * DAY
  return [open, '1.0', '2.0', '0.5', '1.5', '3', open + DAY - 1, '4', 5, '1', '1', '0']
})
const range = { from: '2024-01-01', to: '2024-02-01' }

const names = [
  '..',
  '../../../evil',
  '/etc/passwd',
  '..\\..\\evil',
  '%2e%2e%2fevil',
  'a/../../b',
  "A'; DROP TABLE bars; --",
  'A"B`C',
  '$HOME`touch evil`$(touch evil)',
  'A\u202eB',
  'NUL',
]

describe('a symbol that is a path, SQL or a command', () => {
  test.each(names)(
    '%j is a name like any other: its files are under the root, its bars are found by it',
    async (symbol) => {
      const venue = await otherVenue({ rows: { [symbol]: rows } })
      try {
        await inFolder(async (folder) => {
          const root = join(folder, 'data/root')
          const series = `binance:spot:${symbol}:1d`
          const common = { root, baseUrl: venue.baseUrl }
          expect(await sync({ ...common, series, ...range })).toMatchObject({ complete: true })
          expect(readdirSync(folder)).toEqual(['data'])
          expect(readdirSync(join(folder, 'data'))).toEqual(['root'])
          expect(
            filesIn(root).filter((path) => !/^[A-Za-z0-9._/-]+$/.test(path) || path.includes('..')),
          ).toEqual([])
          for (const file of ['evil', '/tmp/evil', 'b']) expect(existsSync(join(folder, file))).toBe(false)
          const sql = `SELECT count(*)::INTEGER AS n FROM bars WHERE symbol = '${symbol.replaceAll("'", "''")}'`
          expect((await query({ root, sql })).rows).toEqual([{ n: 31 }])
          expect(await verify({ ...common })).toMatchObject({ complete: true, faults: [] })
          expect(await sync({ ...common, series, ...range })).toMatchObject({
            series: [{ slices: { fetched: 0 } }],
          })
        })
      } finally {
        await venue.close()
      }
    },
  )

  test('a name no file system can hold, or with control characters, is refused before anything is made', async () => {
    await inFolder(async (folder) => {
      const root = join(folder, 'root')
      for (const symbol of ['x'.repeat(300), '\u{1f600}'.repeat(60), 'A\nB', 'A\u0000B', 'A\u001b[2JB']) {
        const series = `binance:spot:${symbol}:1d`
        const refused = sync({ root, baseUrl: 'http://127.0.0.1:1', series, ...range })
        const outcome = await refused.then(
          (report) => report.series[0]!.problems[0]?.code,
          (error: { code: string }) => error.code,
        )
        expect(outcome).toMatch(/^(archive\.bad-name|series\.bad-selector)$/)
        expect(filesIn(folder).filter((path) => path.includes('responses'))).toEqual([])
      }
    })
  })
})

test('a venue’s words cannot move the cursor, set a title or forge a line of ours', async () => {
  const evil = '\u001b[2J\u001b]0;owned\u0007\u009b31m\nerror[fake] all is well\r\u2028'
  const venue = await httpServer((_n, response) =>
    response.writeHead(400).end(JSON.stringify({ code: -1100, msg: evil })),
  )
  try {
    await inFolder(async (root) => {
      for (const json of [[], ['--json']]) {
        const { stderr, stdout } = await runCli(
          ['sync', 'binance:spot:BTCUSDT:1d', '--from', '2024-01-01', '--root', root, '-vv', ...json],
          {
            env: {
              EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.baseUrl,
              EVERYBAR__FETCH__ATTEMPTS: '1',
              NO_COLOR: '1',
            },
          },
        )
        expect(stderr).toContain('owned')
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
        expect(stderr + stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028]/)
        expect(stderr.split('\n').filter((line) => line.startsWith('error[fake]'))).toEqual([])
      }
    })
  } finally {
    await venue.close()
  }
})
