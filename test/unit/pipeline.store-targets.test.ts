import { beforeEach, describe, expect, test } from 'vitest'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { withTargets } from '../../src/pipeline/store-targets.ts'
import { settingsOf, targetOf } from '../../src/store/postgres/options.ts'
import { collect } from '../../src/testing/collect.ts'
import { btc, facet, sliceRecord } from '../../src/testing/ledger-samples.ts'

describe('what is noted of a store', () => {
  let kept: Ledger
  beforeEach(async () => {
    kept = memoryLedger()
    await kept.record(
      btc,
      [0, 1].map((n) => sliceRecord(n)),
    )
  })
  const at = (target: string, writes = true) =>
    withTargets(kept, { stores: [{ name: 'pg', target }], writes })
  const behind = async (ledger: Ledger) => (await collect(ledger.unstored(btc, 'pg'))).length

  test('is noted of its place, and counts nowhere else', async () => {
    await at('a').recordStored(btc, 'pg', [facet(0), facet(1)])
    expect([await behind(at('a')), await behind(at('b')), await behind(at('b', false))]).toEqual([0, 2, 2])
    expect(await collect(at('b').stored(btc, 'pg'))).toEqual([])
    expect(await behind(at('a')), 'looking elsewhere changes nothing').toBe(0)
  })

  test('is forgotten once another place has taken something, and again when the old one comes back', async () => {
    await at('a').recordStored(btc, 'pg', [facet(0), facet(1)])
    await at('b').recordStored(btc, 'pg', [facet(0)])
    expect([await behind(at('b')), await behind(at('a'))]).toEqual([1, 2])
    await at('a').recordStored(btc, 'pg', [facet(1)])
    expect([await behind(at('b')), await behind(at('a'))]).toEqual([2, 1])
  })

  test('was meant for the place of today where an older version noted none', async () => {
    await kept.recordStored(btc, 'pg', [facet(0), facet(1)])
    expect(await behind(at('a'))).toBe(0)
    expect(await behind(at('b'))).toBe(2)
  })

  test('of one that is just there is as it was', async () => {
    const ledger = withTargets(kept, { stores: [{ name: 'pg' }], writes: true })
    await ledger.recordStored(btc, 'pg', [facet(0)])
    expect(await behind(ledger)).toBe(1)
    expect(await behind(kept)).toBe(1)
  })
})

test.each([
  [{ url: 'postgres://me:secret@db:5433/crypto' }, 'db:5433/crypto/public.bars'],
  [{ url: 'postgres://other@db:5433/crypto', schema: 's', table: 't' }, 'db:5433/crypto/s.t'],
  [{ url: 'postgres://db/a%20b' }, 'db:5432/a%20b/public.bars'],
  [{ url: 'postgres:///crypto?host=/run/pg' }, '/run/pg:5432/crypto/public.bars'],
  [{ host: 'db', database: 'crypto', user: 'me', password: 'secret' }, 'db:5432/crypto/public.bars'],
])('the place of %j is %s', (given, target) => {
  const options = { name: 'postgres', ...given }
  expect(targetOf(options, settingsOf(options))).toBe(target)
})
