/**
 * Fails every operation of a sync, or of a market that is followed, one after another, in every way:
 * `npm run faults [-- --scenario first|again|lake] [--action
 * fail-before] [--from N] [--to N] [--code ENOSPC]`, or `--sample 20 --seed 7` for so many of them. Exit 1 when anything is
 * not as promised.
 */
import { parseArgs } from 'node:util'
import { randomFrom } from '../random.ts'
import { type Action, actions } from './inject-actions.ts'
import { LakeScenario } from './lake-scenario.ts'
import { Scenario, type ScenarioName, sampleOf, scenarios } from './scenario.ts'

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', multiple: true },
    action: { type: 'string', multiple: true },
    from: { type: 'string', default: '1' },
    to: { type: 'string', default: '1000000' },
    code: { type: 'string' },
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
  },
})

const random = randomFrom(Number(values.seed))

function chosen(steps: number): number[] {
  const [from, to] = [Number(values.from), Math.min(steps, Number(values.to))]
  if (values.sample === undefined)
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
  return sampleOf(to - from + 1, Number(values.sample), random).map((n) => n + from - 1)
}

let bad = 0
for (const name of values.scenario ?? [...scenarios, 'lake']) {
  const made = name === 'lake' ? new LakeScenario() : new Scenario(name as ScenarioName)
  const scenario = await made.open()
  const steps = scenario.trace.length
  console.log(`${name}: ${steps} operations`)
  for (const action of (values.action ?? actions) as Action[]) {
    const startedAt = performance.now()
    let cases = 0
    let complaining = 0
    for (const nth of chosen(steps)) {
      const code = values.code === undefined ? {} : { code: values.code }
      const { step, complaints } = await scenario.run({ nth, action, ...code })
      cases++
      if (complaints.length > 0) {
        complaining++
        console.log(`${name} ${action} ${nth} (${step ?? '?'}):\n  ${complaints.slice(0, 6).join('\n  ')}`)
      }
    }
    bad += complaining
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0)
    console.log(`${name} ${action}: ${cases} cases, ${complaining} not as promised, ${seconds} s`)
  }
  await scenario.close()
}
process.exitCode = bad > 0 ? 1 : 0
