import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Action, actions } from '../support/faults/inject-actions.ts'
import { LakeScenario } from '../support/faults/lake-scenario.ts'
import { brokenCases } from '../support/faults/scenario.ts'

/** Another seed, another sample; `npm run faults -- --scenario lake` takes every operation. */
const seed = Number(process.env.FAULTS_SEED ?? 1)
const cases: Readonly<Record<Action, number>> = {
  'fail-before': 14,
  'fail-after': 14,
  'kill-before': 6,
  'kill-after': 6,
  dead: 3,
}

describe('a market that is followed: appends, a compaction, appends', () => {
  const scenario = new LakeScenario()
  beforeAll(() => scenario.open())
  afterAll(() => scenario.close())

  test('has operations of every kind', () => {
    for (const kind of [
      /^writeFile .*\.tmp/,
      /^rename .*\.tmp/,
      /^rm lake\/\.delta\//,
      /^sync lake\/\.delta/,
      /^duckdb /,
      /^sqlite exec COMMIT/,
    ])
      expect(
        scenario.trace.some((step) => kind.test(step)),
        String(kind),
      ).toBe(true)
  })

  test('a delta file is on disk before it has its name, and its folder after; it goes only when the ledger knows', () => {
    const { trace } = scenario
    const at = (kind: RegExp, from = 0) => trace.findIndex((step, i) => i >= from && kind.test(step))
    const syncsFolder = /^f?sync(Sync)? lake\/\.delta$/
    let seen = 0
    for (const [i, step] of trace.entries()) {
      const [, temporary] = /^writeFile(?:Sync)? (lake\/\.tmp\/\S+)$/.exec(step) ?? []
      if (temporary === undefined) continue
      seen++
      const named = trace.findIndex((one, n) => n > i && one.startsWith('rename') && one.endsWith(temporary))
      const synced = trace.findIndex(
        (one, n) => n > i && /^f?(data)?sync(Sync)? /.test(one) && one.endsWith(temporary),
      )
      expect([i < synced, synced < named, at(syncsFolder, named) > named]).toEqual([true, true, true])
    }
    expect(seen).toBe(4)
    const gone = at(/^rm(Sync)? lake\/\.delta\//)
    const lastMonth = trace.findLastIndex((step) => /^f?sync(Sync)? lake\/test\//.test(step))
    expect(lastMonth).toBeGreaterThan(0)
    expect(at(/^sqlite exec COMMIT/, lastMonth)).toBeLessThan(gone)
    expect(lastMonth).toBeLessThan(gone)
  })

  test.each(actions)(
    `%s: every bar whole or not there, none lost after, and the rest is as ever (seed ${seed})`,
    async (action) => expect(await brokenCases(scenario, action, cases[action], seed)).toEqual([]),
  )
})
