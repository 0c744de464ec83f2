import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { type CliResult, runCli } from '../run-cli.ts'
import { runDocExamples } from '../run-doc-examples.ts'
import { readPage } from '../support/citations.ts'

const page = readPage('docs/certificate.md')
const at = (text: string) => Date.parse(text)
const venue = await startSimulator({
  seed: 8,
  nowMs: at('2024-03-02T08:15Z'),
  outages: [{ startMs: at('2024-01-10T02:00Z'), endMs: at('2024-01-10T05:00Z') }],
  weightLimit: 1e9,
})
const folder = mkdtempSync(join(tmpdir(), 'everybar-certificate-'))
const root = join(folder, 'data')
const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR_DATA_ROOT: root }
afterAll(async () => {
  await venue.close()
  rmSync(folder, { recursive: true })
})

/** The commands of the page, in order, in one folder. */
const lines = [...page.matchAll(/^everybar .*$/gm)].map(([line]) => line)
const results: CliResult[] = []
for (const line of lines) results.push(await runCli(line.split(' ').slice(1), { cwd: folder, env }))

test('the commands work as they stand', () => {
  expect(lines).toHaveLength(5)
  expect(lines.map((line, i) => `${line}: ${results[i]!.code} ${results[i]!.stderr}`)).toEqual(
    lines.map((line) => `${line}: 0 `),
  )
  expect(results.at(-1)!.stdout).toContain('as certified')
})

describe('the certificate that is shown', () => {
  /** Names of fields by where they stand; a list is like its items. */
  const fields = (value: unknown, path = ''): string[] => {
    if (Array.isArray(value)) return value.flatMap((item) => fields(item, path))
    if (typeof value !== 'object' || value === null) return [path]
    return Object.entries(value).flatMap(([name, field]) => fields(field, `${path}/${name}`))
  }
  const [, shown] = /^```json\n([\s\S]*?)^```$/m.exec(page)!
  const real: unknown = JSON.parse(readFileSync(join(folder, 'january.json'), 'utf8'))

  test('has the fields a real one has', () => {
    const optional = '/certificate/series/slices/older'
    const of = (value: unknown) => [...new Set(fields(value))].filter((path) => path !== optional).sort()
    expect(of(JSON.parse(shown!))).toEqual(of(real))
  })

  test('has the numbers of this one', () => {
    const say = ({ certificate }: { certificate: { series: Record<string, unknown>[] } }) =>
      certificate.series.map(({ start, end, expected, present, absent, complete, gaps }) => [
        ...[start, end, expected, present, absent, complete, gaps],
      ])
    expect(say(JSON.parse(shown!))).toEqual(say(real as never))
  })
})

test('every fault and every field is spoken of', () => {
  for (const name of [
    'composed_of',
    'certificate.bars-differ',
    'certificate.slice-differs',
    'certificate.corrupt',
  ])
    expect(page).toContain(`\`${name}\``)
})

runDocExamples('docs/certificate.md', {
  env: { EVERYBAR_ROOT: root, CERTIFICATE: join(folder, 'january.json') },
})
