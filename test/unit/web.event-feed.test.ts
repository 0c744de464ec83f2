import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { EventFeed } from '../../src/web/event-feed.ts'
import { Slots } from '../../src/web/slots.ts'
import { streamOf } from '../../src/web/stream.ts'

const feedWith = (options = {}) => new EventFeed({ nowMs: () => 0, ...options })

/** What a stream holds, read to its end. */
async function textOf(stream: ReadableStream): Promise<string> {
  const bytes = new TextDecoder()
  let text = ''
  for await (const piece of stream) text += bytes.decode(piece)
  return text
}
const eventsIn = (text: string) =>
  [...text.matchAll(/^data: (.*)$/gm)].map(
    ([, data]) => JSON.parse(data!) as { event: string; level: string },
  )

describe('the feed of events', () => {
  test('sends what happens from now on, in order, with ids, secrets blanked', async () => {
    const feed = feedWith()
    feed.publish({ event: 'before' })
    const stream = feed.open({ level: 'info' })
    feed.publish({ event: 'one', series: 's', token: 'secret', url: 'http://me:pw@host/' })
    feed.publish({ event: 'quiet', level: 'debug' })
    feed.publish({ event: 'progress' })
    feed.publish({ event: 'two', level: 'warn' })
    feed.close()
    const text = await textOf(stream)
    expect(text).toBe(
      [
        ': everybar\n\n',
        'id: 2\ndata: {"time":"1970-01-01T00:00:00.000Z","level":"info","event":"one","series":"s","token":"[redacted]","url":"http://[redacted]@host/"}\n\n',
        'id: 4\ndata: {"time":"1970-01-01T00:00:00.000Z","level":"warn","event":"two"}\n\n',
      ].join(''),
    )
  })

  test('each client by the level it asks for', async () => {
    const feed = feedWith()
    const streams = (['debug', 'info', 'warn', 'error'] as const).map((level) => feed.open({ level }))
    for (const level of ['debug', 'info', 'warn', 'error'] as const) feed.publish({ event: level, level })
    feed.close()
    const seen = await Promise.all(streams.map(async (stream) => eventsIn(await textOf(stream)).length))
    expect(seen).toEqual([4, 3, 2, 1])
  })

  test('who comes back gets what is still kept since', async () => {
    const feed = feedWith({ keptMax: 3 })
    for (let i = 1; i <= 5; i++) feed.publish({ event: `e${i}` })
    const [some, all, none] = [
      feed.open({ level: 'info', afterId: 4 }),
      feed.open({ level: 'info', afterId: 0 }),
      feed.open({ level: 'info' }),
    ]
    feed.close()
    const names = async (stream: ReadableStream) => eventsIn(await textOf(stream)).map(({ event }) => event)
    expect(await Promise.all([some, all, none].map(names))).toEqual([['e5'], ['e3', 'e4', 'e5'], []])
  })

  test('a client that takes nothing is dropped and counted, and holds up nobody', async () => {
    const feed = feedWith({ queueMax: 1_000 })
    const slow = feed.open({ level: 'info' })
    const quick = feed.open({ level: 'info' })
    const reader = quick.getReader()
    let taken = 0
    for (let i = 0; i < 50; i++) {
      feed.publish({ event: 'tick', i, filler: 'x'.repeat(50) })
      taken += (await reader.read()).value.length
    }
    expect(feed.stats()).toEqual({ clients: 1, dropped: 1 })
    expect(taken).toBeGreaterThan(50 * 50)
    expect(eventsIn(await textOf(slow)).length, 'what did not fit is not sent in part').toBe(0)
  })

  test('no more clients than it has room for; one that goes makes room', async () => {
    const feed = feedWith({ clientsMax: 2 })
    const first = feed.open({ level: 'info' })
    feed.open({ level: 'info' })
    expect(() => feed.open({ level: 'info' })).toThrow(
      expect.objectContaining({ code: 'web.busy', recovery: 'retry' }),
    )
    await first.cancel()
    expect(feed.stats().clients).toBe(1)
    expect(() => feed.open({ level: 'info' })).not.toThrow()
  })

  test('a quiet line shows that it is alive', async () => {
    const feed = feedWith({ heartbeatMs: 5 })
    const reader = feed.open({ level: 'info' }).getReader()
    const text = async () => new TextDecoder().decode((await reader.read()).value)
    expect(await text()).toBe(': everybar\n\n')
    expect(await text()).toBe(': still here\n\n')
    feed.close()
  })
})

describe('an answer in pieces', () => {
  const setting = () => {
    const ended: string[] = []
    const over = new AbortController()
    const options = { abort: (why: unknown) => over.abort(why), onEnd: () => ended.push('end') }
    return { ended, over, options }
  }

  test('is made no faster than it is taken', async () => {
    let made = 0
    const { ended, options } = setting()
    async function* pieces() {
      for (; made < 1_000; made++) yield made === 3 ? '' : 'piece'
    }
    const reader = streamOf(pieces(), options).getReader()
    for (let i = 0; i < 5; i++) await reader.read()
    expect(made).toBeLessThan(8)
    await reader.cancel()
    expect(ended).toEqual(['end'])
  })

  test('a client that takes nothing is given up, and so is the work', async () => {
    const { ended, over, options } = setting()
    async function* pieces() {
      for (;;) yield 'piece'
    }
    const reader = streamOf(pieces(), { ...options, idleMs: 10 }).getReader()
    await reader.read()
    await sleep(50)
    await expect(reader.read()).rejects.toThrow('the client takes nothing')
    expect([ended, over.signal.aborted]).toEqual([['end'], true])
  })

  test('an error on the way breaks it off', async () => {
    const { ended, options } = setting()
    async function* pieces() {
      yield 'piece'
      throw new Error('damaged')
    }
    await expect(textOf(streamOf(pieces(), options))).rejects.toThrow('damaged')
    expect(ended).toEqual(['end'])
  })

  test('slots: no more than there are, given back once', () => {
    const slots = new Slots(2)
    const giveBack = slots.take()
    slots.take()
    expect(() => slots.take()).toThrow(expect.objectContaining({ code: 'web.busy' }))
    giveBack()
    giveBack()
    slots.take()
    expect(() => slots.take()).toThrow()
  })
})
