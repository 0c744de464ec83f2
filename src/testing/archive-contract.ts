import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Archive, ArchivedFile, ArchiveFolder } from '../archive/archive.ts'
import { response, sliceOf } from './archive-samples.ts'
import { collect } from './collect.ts'

/** An archive under test. `open` may be called again and sees what earlier ones kept; without it that part is skipped. */
export interface ArchiveSubject {
  readonly open: () => Archive
  readonly keepsAcrossOpens: boolean
  readonly dispose?: () => Promise<void>
}

const at = 1_704_067_200_000
const text = (body: Uint8Array | undefined) => body && new TextDecoder().decode(body)
const bytes = (body: string) => new TextEncoder().encode(body)

const btc: ArchiveFolder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }

const names = async (files: AsyncIterable<ArchivedFile>) =>
  (await collect(files)).map(({ sliceId, version }) => `${sliceId} ${version}`).sort()

/** Everything the `Archive` door promises, for any keeper of answers. */
export function archiveContract(name: string, makeSubject: () => Promise<ArchiveSubject>): void {
  describe(`archive: ${name}`, () => {
    let subject: ArchiveSubject
    let archive: Archive
    beforeEach(async () => {
      subject = await makeSubject()
      archive = subject.open()
    })
    afterEach(() => subject.dispose?.())
    const put = (body: string, n = 0, folder = btc) =>
      archive.put(folder, sliceOf(folder, n), response(body), at + 300)

    describe('put and get', () => {
      test('gives back the bytes, their hash and everything known of the answer', async () => {
        const kept = await put('[[1,"2"]]')
        const found = await archive.get(btc, sliceOf(btc).id)
        expect(text(found?.body)).toBe('[[1,"2"]]')
        expect(found?.meta).toEqual({
          url: 'https://venue.test/klines?symbol=BTCUSDT',
          sliceKey: sliceOf(btc).key,
          fetchedAtMs: at + 250,
          requestedAtMs: at + 1,
          httpStatus: 200,
          venueTimeMs: at + 300,
        })
        const { body: _body, ...rest } = found!
        expect(rest).toEqual(kept)
        expect(kept.version).toBe(0)
        expect(kept.sha256).toMatch(/^[0-9a-f]{64}$/)
      })

      const bodies: readonly (readonly [string, Uint8Array])[] = [
        ['an empty array', bytes('[]')],
        ['an object', bytes('{"code":1}')],
        ['spaces around', bytes(' \n[1]\r\n')],
        ['numbers no float holds', bytes('[[123456789012345678901234567890,1.10000000000000000001,1e400]]')],
        ['text that is not ASCII', bytes('["日本 €\u0000"]')],
        ['text that looks like the end', bytes('["\\n}\\n"]\n}\n]')],
        ['nothing', new Uint8Array(0)],
        ['null', bytes('null')],
        ['HTML', bytes('<html></html>')],
        ['a byte order mark', new Uint8Array([0xef, 0xbb, 0xbf, 0x5b, 0x5d])],
        ['brackets around what is not UTF-8', new Uint8Array([0x5b, 0xff, 0xfe, 0x5d])],
        ['every byte there is', Uint8Array.from({ length: 256 }, (_, i) => i)],
        ['half a megabyte', bytes(`[${'["1.2345"],'.repeat(50_000)}[]]`)],
      ]
      for (const [what, body] of bodies) {
        test(`keeps ${what} byte for byte`, async () => {
          await archive.put(btc, sliceOf(btc), response(body), at)
          const found = await archive.get(btc, sliceOf(btc).id)
          expect(Buffer.compare(found!.body, body)).toBe(0)
        })
      }

      test('a body that is part of a larger buffer is kept alone', async () => {
        const whole = bytes('xx[1,2]yy')
        await archive.put(btc, sliceOf(btc), response(whole.subarray(2, 7)), at)
        whole.fill(0)
        expect(text((await archive.get(btc, sliceOf(btc).id))?.body)).toBe('[1,2]')
      })

      test('what was never put is not there', async () => {
        expect(await archive.get(btc, sliceOf(btc).id)).toBeUndefined()
        await put('[1]')
        expect(await archive.get(btc, sliceOf(btc, 1).id)).toBeUndefined()
        expect(await archive.get(btc, sliceOf(btc).id, 1)).toBeUndefined()
        expect(await archive.get({ ...btc, symbol: 'ETHUSDT' }, sliceOf(btc).id)).toBeUndefined()
      })
    })

    describe('versions', () => {
      const versions = async () => {
        const found: (string | undefined)[] = []
        for (let n = 0; n < 5; n++) found.push(text((await archive.get(btc, sliceOf(btc).id, n))?.body))
        return found.filter((body) => body !== undefined)
      }
      test('a newer answer becomes the current one and the older keeps the next number', async () => {
        await put('[1]')
        await put('[2]')
        await put('[3]')
        expect(await versions()).toEqual(['[3]', '[1]', '[2]'])
        expect((await archive.get(btc, sliceOf(btc).id, 2))?.version).toBe(2)
      })

      test('an equal answer adds no version and updates what is known of it', async () => {
        await put('[1]')
        await archive.put(btc, sliceOf(btc), response('[1]', { receivedAtMs: at + 9_000 }), at + 9_001)
        expect(await versions()).toEqual(['[1]'])
        const { meta } = (await archive.get(btc, sliceOf(btc).id))!
        expect([meta.fetchedAtMs, meta.venueTimeMs]).toEqual([at + 9_000, at + 9_001])
      })

      test('an answer that comes back after another is a version again', async () => {
        for (const body of ['[1]', '[2]', '[1]', '[2]']) await put(body)
        expect(await versions()).toEqual(['[2]', '[1]', '[2]', '[1]'])
      })

      test('each answer names the one it took the place of, through equal answers too', async () => {
        const kept = [await put('[1]'), await put('[2]'), await put('[2]'), await put('[3]')]
        const [first, second, again, third] = kept.map(({ sha256, meta }) => ({
          sha256,
          before: meta.supersedes,
        }))
        expect(first!.before).toBe(undefined)
        expect([second!.before, again!.before, third!.before]).toEqual([
          first!.sha256,
          first!.sha256,
          second!.sha256,
        ])
        expect((await archive.get(btc, sliceOf(btc).id, 2))?.meta.supersedes).toBe(first!.sha256)
        expect((await archive.get(btc, sliceOf(btc).id))?.meta).toEqual(kept[3]!.meta)
      })

      test('puts of one slice at the same time lose nothing', async () => {
        await Promise.all(['[1]', '[2]', '[3]', '[4]'].map((body) => put(body)))
        expect((await versions()).sort()).toEqual(['[1]', '[2]', '[3]', '[4]'])
      })
    })

    describe('tails', () => {
      const window = (n: number) => ({ startMs: at + n * 60_000, endMs: at + (n + 2) * 60_000 })
      const extend = (body: string, n = 0) =>
        archive.extend(
          btc,
          sliceOf(btc),
          response(body, { receivedAtMs: at + n }),
          at + n * 60_000,
          window(n),
        )
      const current = () => archive.get(btc, sliceOf(btc).id)

      test('a tail is one version, the current one, however many answers it holds', async () => {
        const kept = [await extend('[1]', 1), await extend('<2>', 2), await extend('[3]', 3)]
        const found = await current()
        expect(found?.parts?.map(({ body }) => text(body))).toEqual(['[1]', '<2>', '[3]'])
        expect(found?.parts?.map(({ meta }) => meta.window)).toEqual([1, 2, 3].map(window))
        expect(text(found?.body)).toBe('[3]')
        expect(found?.sha256).toBe(kept[2]!.sha256)
        expect(found?.meta).toEqual(kept[2]!.meta)
        expect(found?.parts?.map(({ sha256 }) => sha256)).toEqual(kept.map(({ sha256 }) => sha256))
        expect(await archive.get(btc, sliceOf(btc).id, 1)).toBe(undefined)
        expect(await names(archive.list(btc))).toEqual([`${sliceOf(btc).id} 0`])
      })

      test('each hash covers all parts before it, and each part names the one before', async () => {
        const [first, second] = [await extend('[1]', 1), await extend('[1]', 2)]
        expect(second.sha256).not.toBe(first.sha256)
        expect(second.meta.extends).toBe(first.sha256)
        expect(first.meta.extends).toBe(undefined)
      })

      test('takes the place of a whole answer, and gives way to one', async () => {
        const whole = await put('[0]')
        await extend('[1]', 1)
        const tail = await extend('[2]', 2)
        expect(tail.meta.supersedes).toBe(whole.sha256)
        expect(text((await archive.get(btc, sliceOf(btc).id, 1))?.body)).toBe('[0]')
        const closed = await put('[0,1,2]')
        expect(closed.meta.supersedes).toBe(tail.sha256)
        expect(text((await current())?.body)).toBe('[0,1,2]')
        const older = await archive.get(btc, sliceOf(btc).id, 2)
        expect(older?.parts?.map(({ body }) => text(body))).toEqual(['[1]', '[2]'])
        expect(older?.sha256).toBe(tail.sha256)
        expect((await current())?.parts).toBe(undefined)
        const all = [0, 1, 2].map((version) => ({ sliceId: sliceOf(btc).id, version }))
        const checked = await archive.check(btc, all)
        expect(checked.map(({ answer }) => answer?.sha256)).toEqual(
          [closed, whole, tail].map(({ sha256 }) => sha256),
        )
        await extend('[3]', 3)
        expect(text((await archive.get(btc, sliceOf(btc).id, 3))?.body)).toBe('[0,1,2]')
      })

      test('grows on when it is opened again', async ({ skip }) => {
        skip(!subject.keepsAcrossOpens, 'keeps nothing beyond the process')
        const first = await extend('[1]', 1)
        archive = subject.open()
        const second = await extend('[2]', 2)
        expect(second.meta.extends).toBe(first.sha256)
        archive = subject.open()
        expect((await current())?.parts?.map(({ body }) => text(body))).toEqual(['[1]', '[2]'])
        expect((await current())?.sha256).toBe(second.sha256)
      })

      test('parts that come together are all kept', async () => {
        await Promise.all([...Array(20).keys()].map((n) => extend(`[${n}]`, n)))
        expect((await current())?.parts?.length).toBe(20)
      })
    })

    describe('list and folders', () => {
      test('nothing is kept at first', async () => {
        expect(await names(archive.list(btc))).toEqual([])
        expect(await collect(archive.folders())).toEqual([])
      })

      test('lists every version of every slice of one folder', async () => {
        await Promise.all([put('[1]', 0), put('[1]', 1), put('[1]', 0, { ...btc, symbol: 'ETHUSDT' })])
        await put('[2]', 0)
        const [first, second] = [sliceOf(btc, 0).id, sliceOf(btc, 1).id]
        expect(await names(archive.list(btc))).toEqual([`${first} 0`, `${first} 1`, `${second} 0`].sort())
      })

      test('gives sizes when asked', async () => {
        await put('[1,2,3]')
        for await (const { bytes } of archive.list(btc, { sizes: true })) expect(bytes).toBeGreaterThan(6)
        for await (const { bytes } of archive.list(btc)) expect(bytes).toBeUndefined()
      })

      test('the stamp stands while nothing changes', async () => {
        expect(await archive.stamp(btc)).toBeUndefined()
        const stamps = new Set<string | undefined>()
        for (const [body, n] of [
          ['[1]', 0],
          ['[1]', 1],
          ['[2]', 0],
        ] as const) {
          await put(body, n)
          await put('[9]', 0, { ...btc, symbol: 'ETHUSDT' })
          await archive.get(btc, sliceOf(btc).id)
          await names(archive.list(btc))
          stamps.add(await archive.stamp(btc))
          stamps.add(await archive.stamp(btc))
          await new Promise((resolve) => setTimeout(resolve, 20)) // the grain of a file system's clock
        }
        expect(stamps.size).toBe(3)
      })

      test('names every folder as it was given, whatever the symbol', async () => {
        const folders = [
          'BTCUSDT',
          'btcusdt',
          '../../etc/passwd',
          'BTC/USD:USD',
          'a_b',
          '日本',
          '\u0000',
          '.',
        ].map((symbol) => ({ ...btc, symbol }))
        const others = [
          { ...btc, timeframe: '1M' },
          { ...btc, directory: 'um-klines' },
          { ...btc, venue: 'kite' },
        ]
        const all = [...folders, ...others]
        for (const folder of all) await put(`["${all.indexOf(folder)}"]`, 0, folder)
        const byText = (list: readonly ArchiveFolder[]) => list.map((folder) => JSON.stringify(folder)).sort()
        expect(byText(await collect(archive.folders()))).toEqual(byText(all))
        for (const folder of all) {
          const found = await archive.get(folder, sliceOf(folder).id)
          expect(text(found?.body)).toBe(`["${all.indexOf(folder)}"]`)
        }
      })

      test('what cannot be a folder is refused', async () => {
        const bad: readonly Partial<ArchiveFolder>[] = [
          { symbol: '' },
          { symbol: 'x'.repeat(201) },
          { symbol: '日'.repeat(60) },
          { symbol: '\ud800' },
          { venue: '..' },
          { venue: '' },
          { directory: 'a/b' },
          { timeframe: '../1m' },
        ]
        for (const fields of bad) {
          const folder = { ...btc, ...fields }
          const attempt = archive.put(folder, sliceOf(btc), response('[]'), at)
          await expect(attempt).rejects.toMatchObject({ code: 'archive.bad-name', recovery: 'abort' })
          await expect(archive.get(folder, sliceOf(btc).id)).rejects.toMatchObject({
            code: 'archive.bad-name',
          })
          await expect(names(archive.list(folder))).rejects.toMatchObject({ code: 'archive.bad-name' })
        }
        await expect(archive.get(btc, '../../x')).rejects.toMatchObject({ code: 'archive.bad-name' })
      })
    })

    test('checks answers as get reads them, in the order asked, and says which are not there', async () => {
      for (let n = 0; n < 100; n++) await put(`[${n}]`, n)
      await put('[0.5]', 0)
      const asked = [...Array(101).keys()].reverse().map((n) => ({ sliceId: sliceOf(btc, n).id, version: 0 }))
      asked.push({ sliceId: sliceOf(btc, 0).id, version: 1 }, { sliceId: sliceOf(btc, 0).id, version: 2 })
      const checked = await archive.check(btc, asked)
      expect(checked.map(({ sliceId, version }) => ({ sliceId, version }))).toEqual(asked)
      for (const { sliceId, version, path, answer, damage } of checked) {
        const found = await archive.get(btc, sliceId, version)
        const known = found && { sliceId, version, meta: found.meta, sha256: found.sha256 }
        expect(answer && { ...answer, version }).toEqual(known)
        expect(damage).toBe(undefined)
        expect(path).toBe(archive.pathOf(btc, sliceId, version))
      }
      expect(checked.filter(({ answer }) => !answer).map(({ version }) => version)).toEqual([0, 2])
      expect(await archive.check(btc, [])).toEqual([])
    })

    test('keeps evidence beside the answers, the latest of each name', async () => {
      expect(await archive.evidence(btc, 'first-bar')).toBe(undefined)
      expect(await archive.evidenceNames(btc)).toEqual([])
      await archive.putEvidence(btc, 'first-bar', { openTimeMs: 1 })
      await archive.putEvidence(btc, 'first-bar', { openTimeMs: null, answer: '[]\n"€' })
      await archive.putEvidence(btc, 'wanted', { ranges: [[1, 2]] })
      await archive.putEvidence({ ...btc, timeframe: '1h' }, 'last-bar', {})
      if (subject.keepsAcrossOpens) archive = subject.open()
      expect(await archive.evidence(btc, 'first-bar')).toEqual({ openTimeMs: null, answer: '[]\n"€' })
      expect([...(await archive.evidenceNames(btc))].sort()).toEqual(['first-bar', 'wanted'])
      expect(await names(archive.list(btc))).toEqual([])
      await expect(archive.putEvidence(btc, '../x', {})).rejects.toMatchObject({ code: 'archive.bad-name' })
    })

    test('two hundred puts at once are all kept', async () => {
      await Promise.all(Array.from({ length: 200 }, (_, n) => put(`[${n}]`, n)))
      expect((await names(archive.list(btc))).length).toBe(200)
      expect(text((await archive.get(btc, sliceOf(btc, 137).id))?.body)).toBe('[137]')
    })

    test('says where an answer lies, relative to the root', () => {
      const { id } = sliceOf(btc)
      expect(archive.pathOf(btc, id)).toMatch(
        new RegExp(`^binance/klines/raw/BTCUSDT/1m/responses/${id}\\.json(\\.zst)?$`),
      )
      expect(archive.pathOf({ ...btc, timeframe: '1M' }, id, 3)).toMatch(/\/1mon\/responses\/.*\.3\.json/)
    })

    test('keeps answers when it is opened again', async ({ skip }) => {
      skip(!subject.keepsAcrossOpens, 'keeps nothing beyond the process')
      await put('[1]')
      await put('[2]')
      archive = subject.open()
      expect(text((await archive.get(btc, sliceOf(btc).id))?.body)).toBe('[2]')
      expect(text((await archive.get(btc, sliceOf(btc).id, 1))?.body)).toBe('[1]')
      await put('[3]')
      expect((await names(archive.list(btc))).length).toBe(3)
    })
  })
}
