import { describe, expect, test } from 'vitest'
import { chainOf, freeNumber } from '../../src/pipeline/answer-chain.ts'

/** `2:b<a` is number 2 with hash b that took the place of a; `2:` cannot be read; `0:d~bc` is a tail that was b and c. */
const link = (text: string) => {
  const [, version, sha256, supersedes, grew = ''] = /^(\d+):(\w?)(?:<(\w))?(?:~(\w+))?$/.exec(text)!
  return {
    version: Number(version),
    sha256: sha256 || undefined,
    supersedes,
    ...(grew && { grewFrom: [...grew] }),
  }
}
const links = (text: string) => text.split(' ').map(link)
const numbers = (some: readonly { version: number }[]) => some.map(({ version }) => version).join(' ')

describe('the chain of answers', () => {
  const cases: readonly (readonly [
    what: string,
    answers: string,
    chain: string,
    strays: string,
    gone: string,
  ])[] = [
    ['one answer', '0:a', '0', '', ''],
    ['each took the place of the one before', '1:a 2:b<a 0:c<b', '1 2 0', '', ''],
    ['nobody took the place of the first', '1:x 0:a', '0', '1', ''],
    ['one between two', '1:a 2:x 0:b<a', '1 0', '2', ''],
    ['a copy of an older one', '1:a 2:a 0:b<a', '2 0', '1', ''],
    ['the last one kept by a put that was interrupted', '1:a 2:b<a 0:b<a', '1 0', '', ''],
    ['a tail kept by a put that was interrupted, which grew', '1:a 2:b<a 0:d<a~bc', '1 0', '', ''],
    ['the same, put at last', '1:a 2:b<a 3:d<a~bc 0:e<d', '1 3 0', '', ''],
    ['a copy of the current one under no next number', '1:a 9:b<a 0:b<a', '1 0', '9', ''],
    ['the first gone', '2:b<a 0:c<b', '2 0', '', '1:a'],
    ['the last gone', '1:a 0:c<b', '1 0', '', '2:b'],
    ['the only one gone', '0:b<a', '0', '', '1:a'],
    ['one that cannot be read says nothing', '1:a 2: 0:c<b', '1 2 0', '', ''],
    ['nothing that can be read', '1: 0:', '1 0', '', ''],
  ]
  for (const [what, answers, chain, strays, gone] of cases) {
    test(what, () => {
      const found = chainOf(links(answers))
      expect(numbers(found.links)).toBe(chain)
      expect(numbers(found.strays)).toBe(strays)
      expect(found.gone.map(({ version, sha256 }) => `${version}:${sha256}`).join(' ')).toBe(gone)
    })
  }

  test('the first number that is free before a later one', () => {
    expect(freeNumber([])).toBeUndefined()
    expect(freeNumber(links('1:a 2:b'))).toBeUndefined()
    expect(freeNumber(links('1:a 3:b'))).toBe(2)
    expect(freeNumber(links('3000:a'))).toBe(1)
  })
})
