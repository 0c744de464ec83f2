import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Action, actions } from '../support/faults/inject-actions.ts'
import { LakeScenario } from '../support/faults/lake-scenario.ts'
import { type CaseReport, sampleOf } from '../support/faults/scenario.ts'
import { randomFrom } from '../support/random.ts'

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

  test.each(actions)(
    `%s: every bar whole or not there, none lost after, and the rest is as ever (seed ${seed})`,
    async (action) => {
      const random = randomFrom(seed + actions.indexOf(action))
      const broken: CaseReport[] = []
      for (const nth of sampleOf(scenario.trace.length, cases[action], random)) {
        const report = await scenario.run({ nth, action })
        if (report.complaints.length > 0) broken.push(report)
      }
      expect(broken).toEqual([])
    },
  )
})
