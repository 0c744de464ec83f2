import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Action, actions } from '../support/faults/inject-actions.ts'
import { brokenCases, Scenario, scenarios } from '../support/faults/scenario.ts'

/** Another seed, another sample; `npm run faults` takes every operation. */
const seed = Number(process.env.FAULTS_SEED ?? 1)
const cases: Readonly<Record<Action, number>> = {
  'fail-before': 8,
  'fail-after': 8,
  'kill-before': 5,
  'kill-after': 5,
  dead: 3,
}

describe.each(scenarios)('a sync, the root as it is %s', (name) => {
  let scenario: Scenario
  beforeAll(async () => {
    scenario = await new Scenario(name).open()
  })
  afterAll(() => scenario.close())

  test('has operations of every kind', () => {
    const kinds = [
      'open ',
      'writev ',
      'fdatasync ',
      'rename ',
      'openSync ',
      'renameSync ',
      'statSync ',
      'fsync ',
      'rmSync ',
      'sync ',
      'fsyncSync ',
      'http ',
      'duckdb ',
    ]
    for (const kind of [...kinds, 'sqlite exec BEGIN', 'sqlite exec COMMIT'])
      expect(
        scenario.trace.some((step) => step.startsWith(kind)),
        kind,
      ).toBe(true)
  })

  test('what gets its name is on disk before, its folder after, and only then the ledger is told', () => {
    const { trace } = scenario
    const named = trace.flatMap((step, at) => {
      const [, temporary] = /^rename(?:Sync)? (\S*(?:lake\/\.tmp|responses)\/\S+)$/.exec(step) ?? []
      return temporary === undefined ? [] : [{ temporary, at }]
    })
    expect(named.length).toBeGreaterThan(1)
    for (const { temporary, at } of named) {
      const told = trace.indexOf('sqlite exec COMMIT', at)
      const folder = temporary.startsWith('lake/')
        ? /^f?sync(Sync)? lake\/\w+\/\d{4}\/\d{2}$/
        : /^f?sync(Sync)? .*\/responses$/
      const synced = trace.findIndex(
        (step) => /^f?(data)?sync(Sync)? /.test(step) && step.endsWith(` ${temporary}`),
      )
      const kept = trace.findIndex((step, i) => i > at && folder.test(step))
      expect([synced >= 0, synced < at, at < kept, kept < told], temporary).toEqual([true, true, true, true])
    }
  })

  test.each(actions)(
    `%s: nothing lost, nothing twice, and the next run mends it (seed ${seed})`,
    async (action) => expect(await brokenCases(scenario, action, cases[action], seed)).toEqual([]),
  )
})
