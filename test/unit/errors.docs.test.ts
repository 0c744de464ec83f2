import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** First words of codes: the rooms, and the words of the model that throw. */
const rooms = [...readdirSync(join(root, 'src')).filter((name) => !name.includes('.'))]
const words = [...rooms, 'root', 'series', 'sync', 'time', 'timeframe', 'query', 'certificate']
const code = `(?:${words.join('|')})\\.[a-z][a-z0-9]*(?:-[a-z0-9]+)*`

/** Texts that look like codes and are none. */
const others = new Set(['ledger.db'])

const withoutComments = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')

const sources = (readdirSync(join(root, 'src'), { recursive: true }) as string[])
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({
    path: `src/${path}`,
    text: withoutComments(readFileSync(join(root, 'src', path), 'utf8')),
  }))
sources.push({
  path: 'bin/everybar.js',
  text: withoutComments(readFileSync(join(root, 'bin/everybar.js'), 'utf8')),
})

/**
 * Every code in the sources with the files that name it: any quoted text of that shape, since codes travel through
 * helpers, and whatever stands first in a `new …Error('…'`; also `error[…]` of the launcher's messages.
 */
function codesThrown(): Map<string, string[]> {
  const shapes = [`'(${code})'`, `error\\[(${code})\\]`, `new \\w*Error\\(\\s*'([^'\\s]+\\.[^'\\s]+)'`]
  const found = new Map<string, string[]>()
  for (const { path, text } of sources) {
    for (const shape of shapes) {
      for (const [, one] of text.matchAll(new RegExp(shape, 'g'))) {
        if (!others.has(one!)) found.set(one!, [...(found.get(one!) ?? []), path])
      }
    }
  }
  return found
}

const text = readFileSync(join(root, 'docs/errors.md'), 'utf8')
const entries = text
  .split(/^### /m)
  .slice(1)
  .map((entry) => ({
    code: entry.slice(0, entry.indexOf('\n')).trim(),
    body: entry.slice(entry.indexOf('\n')).split(/^## /m)[0]!,
  }))

describe('docs/errors.md', () => {
  const thrown = codesThrown()
  const documented = new Set(entries.map((entry) => entry.code))

  test('has an entry for every code that is thrown', () => {
    const missing = [...thrown]
      .filter(([one]) => !documented.has(one))
      .map(([one, paths]) => `${one} (${paths[0]})`)
    expect(missing).toEqual([])
  })

  test('has no entry for a code that is never thrown', () => {
    expect([...documented].filter((one) => !thrown.has(one))).toEqual([])
  })

  test('says of each, once, what it means and what to do', () => {
    expect(documented.size).toBe(entries.length)
    for (const entry of entries) {
      expect(entry.body, entry.code).toMatch(/^\n+\S[^\n]{10,}\n\n\*\*What to do:\*\* \S[\s\S]{5,}$/)
    }
  })
})
