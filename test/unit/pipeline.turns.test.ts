import { expect, test } from 'vitest'
import { SeriesTurns } from '../../src/pipeline/turns.ts'

/** Work that says when it begins and ends, and ends when it is told to. */
function piece(turns: SeriesTurns, log: string[], series: string, name: string, manner?: 'asks' | 'patient') {
  const end = Promise.withResolvers<void>()
  let asked: AbortSignal | undefined
  const work = async (signal: AbortSignal) => {
    asked = signal
    log.push(`${name} begins`)
    await end.promise
    log.push(`${name} ends`)
    return name
  }
  const done = turns.run(series, work, manner)
  return { done, end: end.resolve, fail: end.reject, asked: () => asked?.aborted }
}

test('one at a time and in order within a series, side by side across series', async () => {
  const turns = new SeriesTurns()
  const log: string[] = []
  const [a, b, c, other] = [
    piece(turns, log, 's', 'a'),
    piece(turns, log, 's', 'b'),
    piece(turns, log, 's', 'c'),
    piece(turns, log, 't', 'other'),
  ] as const
  b.end()
  c.end()
  other.end()
  expect(await other.done).toBe('other')
  expect(log).toEqual(['a begins', 'other begins', 'other ends'])
  a.end()
  expect(await Promise.all([a.done, b.done, c.done])).toEqual(['a', 'b', 'c'])
  expect(log.slice(3)).toEqual(['a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('work is told when somebody waits for its series, and only then', async () => {
  const turns = new SeriesTurns()
  const log: string[] = []
  const a = piece(turns, log, 's', 'a')
  const elsewhere = piece(turns, log, 't', 'elsewhere')
  expect(a.asked()).toBe(false)
  const b = piece(turns, log, 's', 'b')
  const c = piece(turns, log, 's', 'c')
  expect([a.asked(), elsewhere.asked()]).toEqual([true, false])
  a.end()
  await a.done
  await Promise.resolve()
  expect([b.asked(), log.at(-1)]).toEqual([true, 'b begins']) // c waits already
  b.end()
  await b.done
  expect(c.asked()).toBe(false)
  c.end()
  elsewhere.end()
  await Promise.all([c.done, elsewhere.done])
})

test('who is patient waits without asking, and gives way to who asks', async () => {
  const turns = new SeriesTurns()
  const log: string[] = []
  const a = piece(turns, log, 's', 'a')
  const b = piece(turns, log, 's', 'b', 'patient')
  const c = piece(turns, log, 's', 'c', 'patient')
  expect(a.asked()).toBe(false)
  a.end()
  await a.done
  await Promise.resolve()
  expect([b.asked(), log.at(-1)]).toEqual([false, 'b begins'])
  const d = piece(turns, log, 's', 'd')
  expect(b.asked()).toBe(true)
  b.end()
  await b.done
  await Promise.resolve()
  expect(c.asked(), 'd waits already').toBe(true)
  c.end()
  d.end()
  await Promise.all([c.done, d.done])
})

test('work that fails holds up nobody', async () => {
  const turns = new SeriesTurns()
  const log: string[] = []
  const a = piece(turns, log, 's', 'a')
  const b = piece(turns, log, 's', 'b')
  b.end()
  a.fail(new Error('no'))
  await expect(a.done).rejects.toThrow('no')
  expect(await b.done).toBe('b')
  expect(await turns.run('s', async () => 'again')).toBe('again')
})
