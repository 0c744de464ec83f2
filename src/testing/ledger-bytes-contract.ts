import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Ledger, StoredFile } from '../ledger/ledger.ts'
import { collect } from './collect.ts'
import type { LedgerSubject } from './ledger-contract.ts'
import { btc, eth, facet, hash, idOf, sliceRecord, span } from './ledger-samples.ts'

/** What the `Ledger` door promises of stores' files and of its own bytes; part of `ledgerContract`. */
export function ledgerBytesContract(name: string, makeSubject: () => Promise<LedgerSubject>): void {
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

    test('keeps the files a store left, by time, until they are gone or taken back', async () => {
      const file = (n: number, fields: Partial<StoredFile> = {}): StoredFile => ({
        path: `lake/x/${n}.parquet`,
        range: span(n, n + 1),
        bytes: 10 + n,
        sha256: hash('f'),
        ...fields,
      })
      await ledger.record(btc, [sliceRecord(0)])
      await ledger.recordStored(btc, 'lake', [facet(0)], [file(2), file(0)])
      await ledger.recordStored(btc, 'lake', [], [file(1), file(2, { bytes: 99, sha256: hash('e') })])
      const changed = [file(0), file(1), file(2, { bytes: 99, sha256: hash('e') })]
      expect(await collect(ledger.storedFiles(btc, 'lake'))).toEqual(changed)
      expect(await collect(ledger.storedFiles(btc, 'timescale'))).toEqual([])
      await ledger.recordStored(btc, 'lake', [], [file(1, { bytes: 0, sha256: null })])
      expect(await collect(ledger.storedFiles(btc, 'lake'))).toEqual([changed[0], changed[2]])
      if (subject.keepsAcrossOpens) {
        await ledger[Symbol.asyncDispose]()
        ledger = await subject.open()
        expect(await collect(ledger.storedFiles(btc, 'lake'))).toEqual([changed[0], changed[2]])
      }
      await ledger.forgetStore(btc, 'lake')
      expect(await collect(ledger.storedFiles(btc, 'lake'))).toEqual([])
      await ledger.recordStored(eth, 'lake', [], [file(0)])
      expect(await collect(ledger.storedFiles(eth, 'lake'))).toEqual([])
    })

    test('what it has just written has no fault', async () => {
      await ledger.record(btc, [sliceRecord(0)])
      expect((await ledger.check()).faults).toEqual([])
      expect((await collect(ledger.slices(btc))).map(({ sliceId }) => sliceId)).toEqual([idOf(0)])
    })
  })
}
