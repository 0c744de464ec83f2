import { describe, expect, test } from 'vitest'
import { citationsIn, holds, readPage } from '../support/citations.ts'

interface Row {
  readonly number: number
  readonly fault: string
  readonly what: string
  readonly shown: string
}

describe('docs/faults.md', () => {
  const rows = [...readPage('docs/faults.md').matchAll(/^\| (\d+) \| (.+?) \| (.+?) \| (.+) \|$/gm)].map(
    ([, number, fault, what, shown]): Row => ({
      number: Number(number),
      fault: fault!,
      what: what!,
      shown: shown!,
    }),
  )

  test('has every fault, from 1 to 72, once and in order', () => {
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 72 }, (_, i) => i + 1))
    expect(new Set(rows.map(({ fault }) => fault)).size).toBe(72)
  })

  test.each(rows)('$number: $fault', ({ what, shown }) => {
    expect(what).not.toBe('')
    expect(citationsIn(shown).length).toBeGreaterThan(0)
    expect(citationsIn(shown).filter((one) => !holds(one))).toEqual([])
  })

  test('is where the promises lead to', () => expect(readPage('docs/promises.md')).toContain('](faults.md)'))
})

describe('docs/security.md', () => {
  const rows = [...readPage('docs/security.md').matchAll(/^\| (?!---)(.+?) \| (.+?) \| (.+?) \|$/gm)]
    .map(([, finding, answer, shown]) => ({ finding: finding!, answer: answer!, shown: shown! }))
    .filter(({ shown }) => shown !== 'shown by')

  test('has findings', () => expect(rows.length).toBeGreaterThan(15))

  test.each(rows)('$finding', ({ answer, shown }) => {
    expect(answer).not.toBe('')
    expect(citationsIn(shown).length).toBeGreaterThan(0)
    expect(citationsIn(shown).filter((one) => !holds(one))).toEqual([])
  })
})

test('a title that no test has, and a file that is not there, would be noticed', () => {
  expect(holds({ file: 'test/faults/fetch.test.ts', title: 'a refused connection' })).toBe(true)
  expect(holds({ file: 'test/faults/fetch.test.ts', title: 'refused connection' })).toBe(false)
  expect(holds({ file: 'test/contract/hostile.test.ts', title: 'html' })).toBe(true)
  expect(holds({ file: 'test/contract/hostile.test.ts', title: 'htm' })).toBe(false)
  expect(holds({ file: 'test/no.test.ts', title: 'html' })).toBe(false)
})
