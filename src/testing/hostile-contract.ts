import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Bar, priceFields } from '../model/bar.ts'
import { iso } from '../model/time.ts'
import { faultKinds } from '../simulator/faults.ts'
import { rowFaults } from '../simulator/hostile.ts'

/** What a run said of itself. */
export interface HostileRun {
  readonly complete: boolean
  readonly problems: readonly { readonly code: string; readonly message: string }[]
  /** Missing bars by class. */
  readonly missing: Readonly<Record<string, number | undefined>>
  readonly findings: Readonly<Record<string, number | undefined>>
}

/** A venue that can be spoiled, and the real pipeline over the source that is tried. */
export interface HostileSubject {
  /**
   * Spoils answers from now on, as the simulator's `parseFaults` reads it; an empty text ends it. Where the venue is no
   * simulator, `hostile` of the simulator spoils an answer by name.
   */
  readonly spoil: (faults: string) => void
  /** Lets the venue's clock pass on, past the time after which absent bars are asked for again. */
  readonly later: () => void
  /** Syncs a series of some thousand bars without gaps, a few pages, into a root; one range, always. */
  readonly sync: (root: string, options?: { readonly audit?: boolean }) => Promise<HostileRun>
  readonly verify: (
    root: string,
  ) => Promise<{ readonly complete: boolean; readonly faults: readonly unknown[] }>
  /** Every bar of the series in the root's first store, ascending. */
  readonly bars: (root: string) => Promise<readonly Bar[]>
  /** A new root, empty. */
  readonly newRoot: () => string
  readonly close: () => Promise<void>
}

/** Which requests are spoiled, as `parseFaults` writes it. */
const moments = {
  'the first answer of all': (kind: string) => `all:${kind}@1`,
  'the first bars': (kind: string) => `${kind}@1`,
  'a page in the middle': (kind: string) => `${kind}@3`,
  'every answer': (kind: string) => kind,
  'a page after a search for the first bar': (kind: string) => `${kind}@8`,
}
export type HostileMoment = keyof typeof moments

/** Where the first bar is one question. */
const usualMoments: readonly HostileMoment[] = [
  'the first answer of all',
  'the first bars',
  'a page in the middle',
  'every answer',
]

/** Refusals that the venue enforces: once is enough, then it refuses everything for a while. */
const refusals = new Set(['418', '429', '429-bare'])
/** How large a bomb has to be that does its harm: beyond what the subject allows an answer to be. */
const values: Readonly<Record<string, string>> = {
  'gzip-bomb': 'gzip-bomb=128',
  'weight-jump': 'weight-jump=300',
}

/**
 * A source under a hostile venue, through the whole pipeline: whatever the venue sends, a run never says "complete" over
 * bars that are missing without a word or have other values than the venue's own, and never stores such bars. Once the
 * venue behaves, the next run mends it. One lie cannot be seen at once, a page with other prices that fit together: an
 * audit shows it.
 */
export function hostileContract(
  name: string,
  open: () => Promise<HostileSubject>,
  options: { readonly moments?: readonly HostileMoment[] } = {},
): void {
  const chosen = options.moments ?? usualMoments
  describe(`${name}, whatever the venue sends`, () => {
    let subject: HostileSubject
    let truth: readonly Bar[]
    beforeAll(async () => {
      subject = await open()
      const root = subject.newRoot()
      expect(await subject.sync(root)).toMatchObject({ complete: true, problems: [], missing: {} })
      truth = await subject.bars(root)
      expect(truth.length).toBeGreaterThan(1_000)
    })
    afterAll(() => subject.close())

    for (const kind of faultKinds()) {
      test(kind, async () => {
        for (const moment of momentsOf(kind, chosen)) await spoilOnce(subject, truth, kind, moment)
      })
    }
  })
}

/** Rows can be spoiled only where there are some: not in what a venue says of itself, which is asked first. */
function momentsOf(kind: string, chosen: readonly HostileMoment[]): readonly HostileMoment[] {
  if (refusals.has(kind)) return ['a page in the middle']
  return rowFaults.has(kind) ? chosen.filter((moment) => moment !== 'the first answer of all') : chosen
}

async function spoilOnce(
  subject: HostileSubject,
  truth: readonly Bar[],
  kind: string,
  moment: HostileMoment,
) {
  const root = subject.newRoot()
  subject.spoil(moments[moment](values[kind] ?? kind))
  const run = await subject.sync(root)
  subject.spoil('')
  const lied = kind === 'restated'
  // A bar off the grid is a bar, there have been some: it is kept, named, and stands for the one on the grid.
  const extra = run.findings['off-grid'] ?? 0
  const { stored: _, ...before } = await judge(subject, root, run, truth, { lied, extra })
  expect({ moment, ...before }).toEqual({ moment, ...nothing })
  subject.later()
  const mended = await subject.sync(root, { audit: lied || extra > 0 })
  expect({ moment, ...mended }).toMatchObject({ moment, complete: true, problems: [], missing: {} })
  const { stored, ...after } = await judge(subject, root, mended, truth, { lied: false, extra })
  expect({ moment, ...after }).toEqual({ moment, ...nothing })
  const open = new Set(truth.map(({ openTimeMs }) => openTimeMs))
  expect(stored.filter(({ openTimeMs }) => open.has(openTimeMs))).toEqual(truth)
}

interface Judgement {
  /** Bars that are stored and not what the venue has. */
  readonly wrong: readonly string[]
  /** Bars that are neither stored nor spoken of. */
  readonly unsaid: number
  readonly claims: readonly string[]
  readonly faults: readonly unknown[]
}
const nothing: Judgement = { wrong: [], unsaid: 0, claims: [], faults: [] }

/** What is not as promised. */
async function judge(
  subject: HostileSubject,
  root: string,
  { complete, problems, missing }: HostileRun,
  truth: readonly Bar[],
  { lied, extra }: { readonly lied: boolean; readonly extra: number },
): Promise<Judgement & { readonly stored: readonly Bar[] }> {
  const stored = await subject.bars(root)
  const known = new Map(truth.map((bar) => [bar.openTimeMs, bar]))
  const strange = stored.filter(({ openTimeMs }) => !known.has(openTimeMs))
  const bars = strange.length <= extra ? stored.filter((bar) => !strange.includes(bar)) : stored
  const wrong = lied ? [] : bars.flatMap((bar) => differenceOf(bar, known.get(bar.openTimeMs)))
  const named = Object.values(missing).reduce<number>((sum, count) => sum + (count ?? 0), 0)
  const lacking = truth.length - bars.length
  const claims: string[] = []
  if (lacking > 0 && complete) {
    for (const claim of ['before_listing', 'after_delisting', 'closed_session'])
      if (missing[claim]) claims.push(`${missing[claim]} bars are said to be ${claim}`)
  }
  if (!complete && problems.length === 0 && named === 0) claims.push('not complete, and nobody says why')
  const proof = await subject.verify(root)
  if (proof.complete && !complete && lacking > 0) claims.push('verify says complete, the run did not')
  const unsaid = complete ? Math.max(0, lacking - named - extra) : 0
  return { wrong, unsaid, claims, faults: proof.faults, stored }
}

function differenceOf(bar: Bar, known: Bar | undefined): string[] {
  if (!known) return [`${iso(bar.openTimeMs)}: no such bar`]
  return priceFields
    .filter((field) => bar[field] !== known[field])
    .map((field) => `${iso(bar.openTimeMs)}: ${field} ${bar[field]}, the venue has ${known[field]}`)
}
