import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Ledger, RunRecord, SliceRecord } from '../ledger/ledger.ts'
import type { TimeRange } from '../model/time.ts'
import { collect } from './collect.ts'
import { ledgerBytesContract } from './ledger-bytes-contract.ts'
import { at, btc, eth, facet, failed, hash, idOf, sliceRecord, span } from './ledger-samples.ts'

/** A ledger under test. `open` may be called again after the one before is closed, and sees what it recorded. */
export interface LedgerSubject {
  readonly open: () => Promise<Ledger>
  readonly keepsAcrossOpens: boolean
  readonly dispose?: () => Promise<void>
}

/** Everything the `Ledger` door promises, for any keeper. */
export function ledgerContract(name: string, makeSubject: () => Promise<LedgerSubject>): void {
  ledgerBytesContract(name, makeSubject)

  describe(`ledger: ${name}`, () => {
    let subject: LedgerSubject
    let ledger: Ledger
    beforeEach(async () => {
      subject = await makeSubject()
      ledger = await subject.open()
    })
    afterEach(async () => {
      await ledger[Symbol.asyncDispose]()
      await subject.dispose?.()
    })
    const record = (...records: readonly SliceRecord[]) => ledger.record(btc, records)
    const ids = async (records: AsyncIterable<SliceRecord>) =>
      (await collect(records)).map(({ sliceId }) => sliceId)

    test('a series nothing is known of reads as nothing', async () => {
      expect(await ledger.get(btc, idOf(0))).toBeUndefined()
      expect(await collect(ledger.slices(btc))).toEqual([])
      expect(await ledger.covered(btc, span(0, 10))).toEqual([])
      expect(await collect(ledger.notable(btc, span(0, 10)))).toEqual([])
      expect(await collect(ledger.unstored(btc, 'lake'))).toEqual([])
      expect(await collect(ledger.stored(btc, 'lake'))).toEqual([])
      expect(await collect(ledger.answeredIds(btc))).toEqual([])
      expect(await ledger.wanted(btc)).toEqual([])
      expect(await ledger.getFact(btc, 'first-bar')).toBeUndefined()
      expect(await ledger.series()).toEqual([])
      expect(await ledger.runs()).toEqual([])
      expect(Object.values(await ledger.counts(btc))).toEqual([0, 0, 0, 0, 0, 0])
      await ledger.forget(btc, [idOf(0)])
      await ledger.forgetStore(btc, 'lake')
      await ledger.recordStored(btc, 'lake', [facet(0)])
      await ledger.record(btc, [])
      expect(await ledger.series()).toEqual([])
    })

    describe('record, get, slices, forget', () => {
      test('gives back every field', async () => {
        const records = [
          sliceRecord(0, {
            status: 'quarantined',
            error: 'validate.rejected: 2 rows',
            findings: [{ kind: 'bad-ohlc', openTimeMs: at, count: 2, detail: 'high 1 < low 2 "—"' }],
          }),
          sliceRecord(1, { ...failed, httpStatus: null, firstMs: null, lastMs: null }),
          sliceRecord(2, { status: 'pending', sha256: null, requestedAtMs: null, completedAtMs: null }),
          sliceRecord(3, { status: 'empty', items: 0, venueTimeMs: null, limit: 500 }),
        ]
        await record(...records)
        expect(await collect(ledger.slices(btc))).toEqual(records)
        for (const one of records) expect(await ledger.get(btc, one.sliceId)).toEqual(one)
      })

      test('replaces by slice id', async () => {
        await record(sliceRecord(0, failed))
        await record(sliceRecord(0))
        expect(await collect(ledger.slices(btc))).toEqual([sliceRecord(0)])
        await record(sliceRecord(0, failed), sliceRecord(0, { items: 7 }))
        expect((await ledger.get(btc, idOf(0)))?.items).toBe(7)
      })

      test('streams ascending, whatever the order of writing', async () => {
        await record(...[5, 3, 9, 0, 7].map((n) => sliceRecord(n)))
        expect(await ids(ledger.slices(btc))).toEqual([0, 3, 5, 7, 9].map(idOf))
      })

      const overlaps: readonly (readonly [string, TimeRange, readonly number[]])[] = [
        ['exactly one', span(1, 2), [1]],
        ['a piece of one', span(1.25, 1.5), [1]],
        ['the end of one and the start of the next', span(1.5, 2.5), [1, 2]],
        ['what starts where the range ends is not in it', span(0.5, 1), [0]],
        ['outside', span(20, 30), []],
        ['everything', span(-5, 30), [0, 1, 2, 3]],
      ]
      for (const [what, range, expected] of overlaps) {
        test(`by range: ${what}`, async () => {
          await record(...[0, 1, 2, 3].map((n) => sliceRecord(n)))
          expect(await ids(ledger.slices(btc, range))).toEqual(expected.map(idOf))
        })
      }

      test('slices of different widths are found by what they reach into', async () => {
        const wide = sliceRecord(0, { range: span(0, 50), limit: 50_000 })
        const narrow = sliceRecord(0, { range: span(49, 49.5), limit: 500 })
        await record(narrow, wide, sliceRecord(60))
        expect(await ids(ledger.slices(btc, span(49.2, 49.3)))).toEqual([wide.sliceId, narrow.sliceId])
        expect(await ids(ledger.slices(btc, span(30, 31)))).toEqual([wide.sliceId])
      })

      test('series are kept apart', async () => {
        await record(sliceRecord(0))
        await ledger.record(eth, [sliceRecord(0, failed)])
        const other = { ...btc, endpoint: 'binance.um-klines' }
        await ledger.record(other, [sliceRecord(0, { items: 3 })])
        expect((await ledger.get(btc, idOf(0)))?.status).toBe('ok')
        expect((await ledger.get(eth, idOf(0)))?.status).toBe('failed')
        expect((await ledger.get(other, idOf(0)))?.items).toBe(3)
        expect(await ledger.series()).toEqual([btc, other, eth])
        await ledger.forget(eth, [idOf(0)])
        expect(await ledger.get(btc, idOf(0))).toBeDefined()
      })

      test('forgets slices and what stores have of them', async () => {
        await record(sliceRecord(0), sliceRecord(1), sliceRecord(2))
        await ledger.recordStored(btc, 'lake', [facet(0), facet(1)])
        await ledger.forget(btc, [idOf(1), idOf(2), idOf(17)])
        expect(await ids(ledger.slices(btc))).toEqual([idOf(0)])
        await record(sliceRecord(1))
        expect(await ids(ledger.unstored(btc, 'lake'))).toEqual([idOf(1)])
      })

      test('the revision grows with every change to the records, and with nothing else', async () => {
        const revisions = [await ledger.revision(btc)]
        const changes = [
          () => record(sliceRecord(0), sliceRecord(1)),
          () => record(sliceRecord(0, failed)),
          () => ledger.forget(btc, [idOf(0)]),
        ]
        for (const change of changes) {
          await change()
          revisions.push(await ledger.revision(btc))
        }
        expect(revisions[0]).toBe(0)
        revisions.slice(1).forEach((revision, n) => {
          expect(revision).toBeGreaterThan(revisions[n]!)
        })
        await ledger.want(btc, span(0, 1))
        await ledger.putFact(btc, 'first-bar', {})
        await ledger.recordStored(btc, 'lake', [facet(1)])
        await ledger.record(eth, [sliceRecord(0)])
        expect(await ledger.revision(btc)).toBe(revisions.at(-1))
      })

      test('all or none', async () => {
        await record(sliceRecord(0))
        const broken = sliceRecord(2, { items: 1.5 })
        await expect(record(sliceRecord(1), broken)).rejects.toThrow()
        expect(await ids(ledger.slices(btc))).toEqual([idOf(0)])
        await Promise.allSettled([record(sliceRecord(3)), record(broken), record(sliceRecord(4))])
        expect(await ids(ledger.slices(btc))).toEqual([0, 3, 4].map(idOf))
      })

      test('a large batch, read while another is written', async () => {
        await record(...Array.from({ length: 5_000 }, (_, n) => sliceRecord(n)))
        let seen = 0
        for await (const { sliceId } of ledger.slices(btc)) {
          if (seen === 1_500) await record(sliceRecord(9_000), sliceRecord(1, failed))
          expect(sliceId).toBe(idOf(seen < 5_000 ? seen : 9_000))
          seen++
        }
        expect(seen).toBeGreaterThanOrEqual(5_000)
      })
    })

    describe('covered and notable', () => {
      test('only ok and empty need no request', async () => {
        const statuses = [
          'ok',
          'pending',
          'empty',
          'partial',
          'ok',
          'failed',
          'empty',
          'quarantined',
        ] as const
        await record(...statuses.map((status, n) => sliceRecord(n, { status })))
        expect(await ledger.covered(btc, span(0, 10))).toEqual([0, 2, 4, 6].map((n) => span(n, n + 1)))
        expect(await ledger.counts(btc)).toEqual({
          pending: 1,
          ok: 2,
          partial: 1,
          empty: 2,
          failed: 1,
          quarantined: 1,
        })
      })

      test('slices that touch are one range, cut to what was asked', async () => {
        await record(...[0, 1, 2, 5, 6].map((n) => sliceRecord(n)))
        expect(await ledger.covered(btc, span(0, 10))).toEqual([span(0, 3), span(5, 7)])
        expect(await ledger.covered(btc, span(1.5, 6.5))).toEqual([span(1.5, 3), span(5, 6.5)])
        expect(await ledger.covered(btc, span(3, 5))).toEqual([])
        await record(sliceRecord(1, failed))
        expect(await ledger.covered(btc, span(0, 4))).toEqual([span(0, 1), span(2, 3)])
      })

      test('slices of several page sizes cover together', async () => {
        const ranges = [span(0, 1), span(0.5, 3), span(1, 2), span(2, 2.5), span(3, 4), span(5, 6)]
        await record(...ranges.map((range, n) => sliceRecord(0, { range, limit: 500 + n })))
        expect(await ledger.covered(btc, span(0, 10))).toEqual([span(0, 4), span(5, 6)])
      })

      test('notable are those that say more than "answered, nothing missing"', async () => {
        const missing = [{ kind: 'missing', openTimeMs: at, detail: 'not in the answer' }] as const
        await record(
          sliceRecord(0),
          sliceRecord(1, { findings: missing }),
          sliceRecord(2, failed),
          sliceRecord(3, { status: 'empty' }),
          sliceRecord(4, { status: 'partial' }),
        )
        expect(await ids(ledger.notable(btc, span(0, 4)))).toEqual([1, 2, 3].map(idOf))
        await record(sliceRecord(2), sliceRecord(0, { findings: missing }))
        expect(await ids(ledger.notable(btc, span(0, 10)))).toEqual([0, 1, 3, 4].map(idOf))
      })
    })

    describe('stores', () => {
      const unstored = (store: string, range?: TimeRange) => ids(ledger.unstored(btc, store, range))

      test('archived − stored, for each store', async () => {
        await record(...[0, 1, 2].map((n) => sliceRecord(n)), sliceRecord(3, failed))
        await ledger.recordStored(btc, 'lake', [facet(0), facet(2)])
        expect(await unstored('lake')).toEqual([idOf(1)])
        expect(await unstored('timescale')).toEqual([0, 1, 2].map(idOf))
        expect(await unstored('timescale', span(1.5, 2.5))).toEqual([1, 2].map(idOf))
        await ledger.recordStored(btc, 'timescale', [facet(0), facet(1), facet(2)])
        expect(await unstored('timescale')).toEqual([])
        expect(await unstored('lake')).toEqual([idOf(1)])
      })

      test('a slice answered anew with other bytes is behind until it is committed anew', async () => {
        await record(sliceRecord(0), sliceRecord(1))
        await ledger.recordStored(btc, 'lake', [facet(0), facet(1)])
        await record(sliceRecord(0, { sha256: hash('b') }), sliceRecord(1))
        expect(await unstored('lake')).toEqual([idOf(0)])
        await ledger.recordStored(btc, 'lake', [facet(0, hash('b'))])
        expect(await unstored('lake')).toEqual([])
      })

      const statuses: readonly (readonly [SliceRecord['status'], string | null, boolean])[] = [
        ['ok', hash('a'), true],
        ['partial', hash('a'), true],
        ['empty', hash('a'), true],
        ['quarantined', hash('a'), true],
        ['failed', null, false],
        ['failed', hash('a'), false],
        ['pending', null, false],
        ['ok', null, false],
      ]
      for (const [status, sha256, behind] of statuses) {
        test(`${status} ${sha256 ? 'with' : 'without'} an answer ${behind ? 'waits' : 'does not wait'} for a store`, async () => {
          await record(sliceRecord(0, { status, sha256 }))
          expect(await unstored('lake')).toEqual(behind ? [idOf(0)] : [])
          expect(await collect(ledger.answeredIds(btc))).toEqual(behind ? [idOf(0)] : [])
        })
      }

      test('says what a store has committed, ascending, and takes it back', async () => {
        await record(...[0, 1, 2].map((n) => sliceRecord(n)))
        await ledger.record(eth, [sliceRecord(0)])
        const facets = [facet(0), { ...facet(1, hash('c')), rows: 7 }, facet(2)]
        await ledger.recordStored(btc, 'lake', [facets[2]!, facets[0]!, facets[1]!])
        await ledger.recordStored(eth, 'lake', [facet(0)])
        await ledger.recordStored(btc, 'timescale', [facet(0)])
        expect(await collect(ledger.stored(btc, 'lake'))).toEqual(facets)
        await ledger.forgetStore(btc, 'lake')
        expect(await collect(ledger.stored(btc, 'lake'))).toEqual([])
        expect(await unstored('lake')).toEqual([0, 1, 2].map(idOf))
        expect(await collect(ledger.stored(eth, 'lake'))).toEqual([facet(0)])
        expect(await collect(ledger.stored(btc, 'timescale'))).toEqual([facet(0)])
      })

      test('facets of slices that are not known are left out', async () => {
        await record(sliceRecord(0))
        await ledger.recordStored(btc, 'lake', [facet(0), facet(5)])
        expect(await collect(ledger.stored(btc, 'lake'))).toEqual([facet(0)])
      })

      test('more than a page, some behind, while they are being committed', async () => {
        const all = Array.from({ length: 3_000 }, (_, n) => n)
        await record(...all.map((n) => sliceRecord(n)))
        await ledger.recordStored(
          btc,
          'lake',
          all.filter((n) => n % 3 === 0).map((n) => facet(n)),
        )
        const seen: string[] = []
        for await (const { sliceId } of ledger.unstored(btc, 'lake')) {
          seen.push(sliceId)
          if (seen.length % 500 === 0)
            await ledger.recordStored(btc, 'lake', [{ sliceId, sha256: hash('a'), rows: 1 }])
        }
        expect(seen).toEqual(all.filter((n) => n % 3 !== 0).map(idOf))
        expect((await collect(ledger.stored(btc, 'lake'))).length).toBe(1_000 + 4)
        expect((await collect(ledger.answeredIds(btc))).sort()).toEqual(all.map(idOf).sort())
      })
    })

    describe('wanted ranges, facts and runs', () => {
      test('wanted ranges add up', async () => {
        await ledger.want(btc, span(3, 4))
        await ledger.want(btc, span(0, 1))
        await ledger.want(btc, span(3.5, 6))
        await ledger.want(btc, span(0, 1))
        expect(await ledger.wanted(btc)).toEqual([span(0, 1), span(3, 6)])
        expect(await ledger.wanted(eth)).toEqual([])
        expect(await ledger.series()).toEqual([btc])
      })

      test('a fact replaces an older one of its name', async () => {
        await ledger.putFact(btc, 'first-bar', { openTimeMs: 1, evidence: ['é', null, { deep: true }] })
        await ledger.putFact(btc, 'first-bar', { openTimeMs: 2 })
        await ledger.putFact(btc, 'page-cap', { limit: 500 })
        expect(await ledger.getFact(btc, 'first-bar')).toEqual({ openTimeMs: 2 })
        expect(await ledger.getFact(btc, 'page-cap')).toEqual({ limit: 500 })
        expect(await ledger.getFact(eth, 'page-cap')).toBeUndefined()
      })

      const run = (runId: string, fields: Partial<RunRecord> = {}): RunRecord => ({
        runId,
        command: 'sync binance:spot:BTCUSDT:1m',
        startedAtMs: at,
        endedAtMs: null,
        exitCode: null,
        report: {},
        ...fields,
      })

      test('runs, latest first', async () => {
        await ledger.putRun(run('b', { startedAtMs: at + 2 }))
        await ledger.putRun(run('a', { startedAtMs: at + 1 }))
        await ledger.putRun(run('c', { startedAtMs: at + 3 }))
        const ended = run('b', { startedAtMs: at + 2, endedAtMs: at + 9, exitCode: 3, report: { bars: 5 } })
        await ledger.putRun(ended)
        expect((await ledger.runs()).map(({ runId }) => runId)).toEqual(['c', 'b', 'a'])
        expect((await ledger.runs(2))[1]).toEqual(ended)
      })

      test('a hundred runs unless said', async () => {
        for (let n = 0; n < 105; n++) await ledger.putRun(run(`run-${n}`, { startedAtMs: at + n }))
        expect((await ledger.runs()).length).toBe(100)
        expect((await ledger.runs(1_000)).length).toBe(105)
      })
    })

    test('many callers at once', async () => {
      const calls = Array.from({ length: 300 }, (_, n) => ledger.record(n % 2 ? eth : btc, [sliceRecord(n)]))
      await Promise.all(calls)
      expect((await collect(ledger.slices(btc))).length).toBe(150)
      expect((await ledger.counts(eth)).ok).toBe(150)
    })

    test('keeps everything when it is opened again', async ({ skip }) => {
      skip(!subject.keepsAcrossOpens, 'keeps nothing beyond the process')
      const finding = { kind: 'missing', openTimeMs: at, count: 3, detail: 'not in the answer' } as const
      const records = [sliceRecord(0, { findings: [finding] }), sliceRecord(1, failed)]
      await record(...records)
      await ledger.recordStored(btc, 'lake', [facet(0)])
      await ledger.want(btc, span(0, 2))
      await ledger.putFact(btc, 'first-bar', { openTimeMs: at })
      const run = {
        runId: 'r',
        command: 'sync',
        startedAtMs: at,
        endedAtMs: null,
        exitCode: null,
        report: {},
      }
      await ledger.putRun(run)
      await ledger[Symbol.asyncDispose]()
      ledger = await subject.open()
      expect(await ledger.series()).toEqual([btc])
      expect(await collect(ledger.slices(btc))).toEqual(records)
      expect(await collect(ledger.stored(btc, 'lake'))).toEqual([facet(0)])
      expect(await ledger.wanted(btc)).toEqual([span(0, 2)])
      expect(await ledger.getFact(btc, 'first-bar')).toEqual({ openTimeMs: at })
      expect(await ledger.runs()).toEqual([run])
      expect(await ledger.covered(btc, span(0, 2))).toEqual([span(0, 1)])
      await record(sliceRecord(1))
      expect(await ledger.covered(btc, span(0, 2))).toEqual([span(0, 2)])
    })

    test('closing twice is harmless', async () => {
      await record(sliceRecord(0))
      await ledger[Symbol.asyncDispose]()
      await ledger[Symbol.asyncDispose]()
    })
  })
}
