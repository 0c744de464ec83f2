import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Certificate,
  type CertifiedSeries,
  canonical,
  certificateText,
  composeCertificates,
  readCertificate,
} from '../../src/coverage/certificate.ts'
import { compositeKey } from '../../src/model/slice.ts'
import type { Timeframe } from '../../src/model/timeframe.ts'

const at = (minute: number) => Date.UTC(2024, 0, 1) + minute * 60_000
const text = (minute: number) => new Date(at(minute)).toISOString().replace('.000Z', 'Z')
const keyOf = (from: number, to: number) =>
  compositeKey('BTC', '1m' as Timeframe, { startMs: at(from), endMs: at(to) }, 10)

/** Slices of ten minutes; the answer to the n-th has the hash `a` unless said. */
function series(from: number, to: number, fields: Partial<CertifiedSeries> = {}): CertifiedSeries {
  const slices: { key: string; sha256: string }[] = []
  for (let start = from - (from % 10); start < to; start += 10)
    slices.push({ key: keyOf(start, start + 10), sha256: 'a' })
  return {
    series: 'v:spot:BTC:1m',
    start: text(from),
    end: text(to),
    expected: to - from,
    present: to - from - 1,
    absent: { source_absent: 1 },
    complete: true,
    gaps: [{ class: 'source_absent', start: text(from), end: text(from + 1), bars: 1 }],
    slices,
    files: [{ path: 'lake/a', bytes: to, sha256: `file to ${to}` }],
    bars: [{ path: 'lake/a', start: text(from), end: text(to), bars: to - from - 1, sha256: 'd' }],
    ...fields,
  }
}

const head = (minute: number) => ({ version: 1, everybar: '0.1.0', made_at: text(minute) })

async function written(certificate: Omit<Certificate, 'digest'>): Promise<string> {
  const { series: all, ...rest } = certificate
  let out = ''
  for await (const piece of certificateText(rest, all)) out += piece
  return out
}

const made = async (minute: number, ...all: CertifiedSeries[]) =>
  readCertificate(await written({ ...head(minute), series: all }), 'x.json')

describe('the text of a certificate', () => {
  test('is canonical, reads back as it was, and streams', async () => {
    const one = {
      ...head(0),
      series: [series(0, 25), series(0, 5, { series: 'v:spot:ETH:1m', slices: [], bars: [] })],
    }
    const out = await written(one)
    const { digest, ...rest } = readCertificate(out, 'x.json')
    expect(rest).toEqual(one)
    expect(out).toBe(`${canonical({ certificate: one, digest })}\n`)
    expect(readCertificate(JSON.stringify(JSON.parse(out), null, 2), 'x.json').digest).toBe(digest)
    expect(readCertificate(await written({ ...head(0), series: [] }), 'x.json').series).toEqual([])
  })

  test('any changed character is seen, but for white space', async () => {
    const out = await written({ ...head(0), series: [series(0, 25)] })
    fc.assert(
      fc.property(fc.nat(out.length - 2), fc.constantFrom('0', 'x', '"', '}', ''), (i, other) => {
        if (out[i] === other) return
        const changed = out.slice(0, i) + other + out.slice(i + 1)
        expect(() => readCertificate(changed, 'x.json')).toThrow(/cannot be trusted/)
      }),
    )
    expect(() => readCertificate('', 'x.json')).toThrow(/not JSON/)
    expect(() => readCertificate('null', 'x.json')).toThrow(/no certificate/)
  })

  test('of a newer version is refused', async () => {
    const out = await written({ ...head(0), version: 2, series: [] })
    expect(() => readCertificate(out, 'x.json')).toThrow(/has version 2/)
  })

  test('canonical JSON sorts keys by UTF-16 units and leaves out what is undefined', () => {
    expect(
      canonical({ b: [1, { d: 1e21, c: null }], a: 'é"\n', '\u{10000}': 1, '\uffff': 2, u: undefined }),
    ).toBe(
      '{"a":"é\\"\\n","b":[1,{"c":null,"d":1e+21}],"u0":0}'.replace('"u0":0', '"\u{10000}":1,"\uffff":2'),
    )
  })
})

describe('composition', () => {
  test('adds up what adjoins, whatever the order, and keeps the later word at the seam', async () => {
    const seam = { key: keyOf(20, 30), sha256: 'b', older: ['a'] }
    const late = series(25, 40, { slices: [seam, { key: keyOf(30, 40), sha256: 'a' }] })
    const parts = [await made(100, series(0, 25)), await made(200, late)]
    for (const order of [parts, [...parts].reverse()]) {
      const whole = await composeCertificates(order, head(300))
      expect(whole.composed_of).toEqual(order.map(({ digest }) => digest))
      expect(whole.series).toHaveLength(1)
      const [one] = whole.series
      expect(one).toMatchObject({
        start: text(0),
        end: text(40),
        expected: 40,
        present: 38,
        absent: { source_absent: 2 },
        complete: true,
        files: [],
      })
      expect(one!.bars.map(({ start }) => start)).toEqual([text(0), text(25)])
      expect(one!.slices.map(({ key, sha256 }) => [key, sha256])).toEqual([
        [keyOf(0, 10), 'a'],
        [keyOf(10, 20), 'a'],
        [keyOf(20, 30), 'b'],
        [keyOf(30, 40), 'a'],
      ])
      expect(readCertificate(await written(whole), 'x.json').series).toEqual(whole.series)
    }
  })

  test('of parts of parts gives what all at once gives', async () => {
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 59 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(cuts, fc.nat(), async (inner, split) => {
        const ends = [0, ...inner.sort((a, b) => a - b), 60]
        const parts = await Promise.all(ends.slice(1).map((to, i) => made(i, series(ends[i]!, to))))
        const all = (await composeCertificates(parts, head(90))).series
        const n = 1 + (split % Math.max(1, parts.length - 1))
        const halves = [parts.slice(0, n), parts.slice(n)].filter((some) => some.length > 0)
        const composed = await Promise.all(
          halves.map(async (some, i) =>
            readCertificate(await written(await composeCertificates(some, head(80 + i))), 'x'),
          ),
        )
        expect((await composeCertificates(composed, head(90))).series).toEqual(all)
      }),
    )
  })

  test('several series go side by side', async () => {
    const parts = [await made(1, series(0, 10)), await made(2, series(5, 20, { series: 'v:spot:ETH:1m' }))]
    expect((await composeCertificates(parts, head(3))).series.map((one) => one.series)).toEqual([
      'v:spot:BTC:1m',
      'v:spot:ETH:1m',
    ])
  })

  const refused: readonly (readonly [string, number, number, number, number, string])[] = [
    ['a hole between', 0, 10, 11, 20, 'certificate.not-adjoining'],
    ['an overlap', 0, 10, 9, 20, 'certificate.not-adjoining'],
    ['twice the same', 0, 10, 0, 10, 'certificate.not-adjoining'],
  ]
  for (const [what, a, b, c, d, code] of refused) {
    test(`refuses ${what}`, async () => {
      const parts = [await made(1, series(a, b)), await made(2, series(c, d))]
      await expect(composeCertificates(parts, head(3))).rejects.toMatchObject({ code })
    })
  }

  test('keeps a file that all parts with bars of it name alike, and no other', async () => {
    const file = (sha256: string) => [{ path: 'lake/a', bytes: 1, sha256 }]
    const noBars = { bars: [] }
    const compose = async (...parts: Partial<CertifiedSeries>[]) => {
      const certificates = await Promise.all(
        parts.map((fields, i) => made(i, series(10 * i, 10 * i + 10, fields))),
      )
      const [one] = (await composeCertificates(certificates, head(9))).series
      return one!.files.map(({ sha256 }) => sha256)
    }
    expect(await compose({ files: file('x') }, { files: file('x') })).toEqual(['x'])
    expect(await compose({ files: file('x') }, { files: file('y') })).toEqual([])
    // Bars of the first waited in delta files: it named no file for them.
    expect(await compose({ files: [] }, { files: file('y') })).toEqual([])
    expect(await compose({ files: file('x'), ...noBars }, { files: file('y') })).toEqual(['y'])
    expect(await compose({ files: file('x'), ...noBars }, { files: [], ...noBars })).toEqual(['x'])
    expect(await compose({ files: file('x') }, { files: file('y') }, { files: file('y') })).toEqual([])
  })

  test('takes the later word by what it supersedes, not by when it was said', async () => {
    const seam = (sha256: string, ...older: string[]) => ({
      slices: [{ key: keyOf(0, 30), sha256, ...(older.length > 0 && { older }) }],
    })
    const compose = async (a: object, b: object, history: readonly string[] = []) => {
      const parts = [await made(200, series(0, 10, a)), await made(100, series(10, 20, b))]
      const words = await Promise.all(
        [parts, [...parts].reverse()].map(async (order) => {
          const { series } = await composeCertificates(order, head(9), async () => history)
          return series[0]!.slices.map(({ key: _, ...word }) => word)
        }),
      )
      expect(words[1]).toEqual(words[0])
      return words[0]![0]
    }
    expect(await compose(seam('x'), seam('y', 'x'))).toEqual({ sha256: 'y', older: ['x'] })
    expect(await compose(seam('y', 'x'), seam('x'))).toEqual({ sha256: 'y', older: ['x'] })
    // The venue went back to its first answer.
    expect(await compose(seam('y', 'x'), seam('x', 'x', 'y'))).toEqual({ sha256: 'x', older: ['x', 'y'] })
    expect(await compose(seam('x', 'x', 'y'), seam('x'))).toEqual({ sha256: 'x', older: ['x', 'y'] })
    // A tail that has grown names none of its lengths: those who keep it know.
    const tail = ['t1', 't2', 't3', 'w']
    expect(await compose(seam('t1'), seam('t3'), tail)).toEqual({ sha256: 't3', older: ['t1'] })
    expect(await compose(seam('w', 't3'), seam('t1'), tail)).toEqual({ sha256: 'w', older: ['t1', 't3'] })
    await expect(compose(seam('t1'), seam('t9'), tail)).rejects.toMatchObject({
      code: 'certificate.conflict',
    })
  })

  test('refuses two answers to one slice of which neither knows the other', async () => {
    const other = series(25, 40, { slices: [{ key: keyOf(20, 30), sha256: 'z' }] })
    const parts = [await made(1, series(0, 25)), await made(2, other)]
    await expect(composeCertificates(parts, head(3))).rejects.toMatchObject({ code: 'certificate.conflict' })
  })
})
