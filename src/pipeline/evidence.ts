import type { Archive, ArchiveFolder, Evidence } from '../archive/archive.ts'
import type { Ledger, LedgerSeries } from '../ledger/ledger.ts'
import { isEverybarError } from '../model/errors.ts'
import { type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { type OnFault, repairHint } from './fault.ts'
import type { House, SeriesJob } from './house.ts'

/*
 * Facts that no archived answer holds: what probes showed, and what was asked for. They are kept beside the answers
 * too, so that the ledger can be made again from the archive alone.
 */

const facts = ['first-bar', 'last-bar'] as const
const WANTED = 'wanted'
const LOST = 'lost-answers'

/** An answer that is gone for good: nobody can be asked for what was said then. */
export interface LostAnswer {
  readonly sliceId: string
  /** By which a newer answer names it: a number is taken again by the next one. */
  readonly sha256: string
  readonly noticedAtMs: number
}

type Kept = Pick<House, 'archive' | 'ledger'>

/** The same ledger; such facts are kept as evidence beside the answers before it is told of them. */
export function withEvidence(
  ledger: Ledger,
  archive: Pick<Archive, 'putEvidence'>,
  folderOf: (series: LedgerSeries) => ArchiveFolder,
): Ledger {
  const putFact: Ledger['putFact'] = async (series, name, fact) => {
    if ((facts as readonly string[]).includes(name)) await archive.putEvidence(folderOf(series), name, fact)
    await ledger.putFact(series, name, fact)
  }
  const want: Ledger['want'] = async (series, range) => {
    const before = await ledger.wanted(series)
    const after = union(before, [range])
    if (JSON.stringify(after) !== JSON.stringify(before))
      await archive.putEvidence(folderOf(series), WANTED, { ranges: after })
    await ledger.want(series, range)
  }
  return new Proxy(ledger, {
    get(target, name) {
      if (name === 'putFact') return putFact
      if (name === 'want') return want
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const rangesIn = (evidence: Evidence | undefined): RangeSet =>
  toRangeSet((evidence?.ranges ?? []) as RangeSet)

/** When a fact was learnt, for what is the newer of two. */
const askedAt = (fact: Evidence | undefined): number => Number(fact?.askedAtMs ?? Number.NEGATIVE_INFINITY)

/** Brings the evidence and the ledger of a series level: what only one of them has, or has newer, the other gets. */
export async function levelEvidence({ archive, ledger }: Kept, { folder, ref }: SeriesJob): Promise<void> {
  const names = new Set(await archive.evidenceNames(folder))
  for (const name of facts) {
    const fact = await ledger.getFact(ref, name)
    const evidence = names.has(name) ? await readable(archive, folder, name) : undefined
    if (fact && askedAt(evidence) < askedAt(fact)) await archive.putEvidence(folder, name, fact)
    if (evidence && askedAt(fact) < askedAt(evidence)) await ledger.putFact(ref, name, evidence)
  }
  const wanted = await ledger.wanted(ref)
  const noted = names.has(WANTED) ? rangesIn(await readable(archive, folder, WANTED)) : []
  for (const range of subtract(noted, wanted)) await ledger.want(ref, range)
  if (subtract(wanted, noted).length > 0)
    await archive.putEvidence(folder, WANTED, { ranges: union(wanted, noted) })
}

/** The same, where a fact that differs is at fault: evidence that is whole wins, for it guards itself. */
export async function mendEvidence(house: Kept, job: SeriesJob): Promise<void> {
  const { archive, ledger } = house
  for (const name of facts) {
    const evidence = await readable(archive, job.folder, name)
    const fact = await ledger.getFact(job.ref, name)
    if (evidence && JSON.stringify(evidence) !== JSON.stringify(fact))
      await ledger.putFact(job.ref, name, evidence)
  }
  await levelEvidence(house, job)
}

/** Older answers that repair has found to be gone: told once, and no fault any more. */
export async function lostAnswers(
  archive: Pick<Archive, 'evidence'>,
  folder: ArchiveFolder,
): Promise<readonly LostAnswer[]> {
  const evidence = await readable(archive, folder, LOST)
  // Earlier ones were noted by their path, which says nothing once the number is taken again.
  return ((evidence?.answers ?? []) as readonly LostAnswer[]).filter(({ sha256 }) => sha256 !== undefined)
}

export async function noteLost(
  archive: Pick<Archive, 'evidence' | 'putEvidence'>,
  folder: ArchiveFolder,
  lost: readonly LostAnswer[],
): Promise<void> {
  if (lost.length === 0) return
  const known = await lostAnswers(archive, folder)
  const answers = [...new Map([...lost, ...known].map((one) => [one.sha256, one])).values()]
  await archive.putEvidence(folder, LOST, { answers })
}

/** Evidence that is whole: damaged evidence is as good as none, and is written again. */
async function readable(archive: Pick<Archive, 'evidence'>, folder: ArchiveFolder, name: string) {
  try {
    return await archive.evidence(folder, name)
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    return undefined
  }
}

/**
 * Compares the evidence beside the answers with the ledger.
 *
 * @returns how many facts the ledger does not know yet: a run was interrupted between the two.
 */
export async function checkEvidence(
  { archive, ledger }: Kept,
  { folder, ref, id }: SeriesJob,
  onFault: OnFault,
): Promise<number> {
  let behind = 0
  const pathOf = (name: string) =>
    archive.pathOf(folder, '0'.repeat(32)).replace(/responses\/.*$/, `evidence/${name}.json`)
  const fault = (kind: string, name: string, detail: string) =>
    onFault({ kind, path: pathOf(name), detail: `${name} of ${id}: ${detail}`, hint: repairHint })
  const compare = async (name: string, known: boolean, judge: (evidence: Evidence) => string | undefined) => {
    try {
      const evidence = await archive.evidence(folder, name)
      if (!evidence) {
        if (known) fault('archive.missing', name, 'its evidence is gone')
        return
      }
      const differs = judge(evidence)
      if (differs) fault('ledger.differs', name, differs)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
      fault('archive.corrupt', name, 'its evidence is not as it was written')
    }
  }
  for (const name of facts) {
    const fact = await ledger.getFact(ref, name)
    await compare(name, fact !== undefined, (evidence) => {
      if (askedAt(evidence) > askedAt(fact)) behind++
      else if (JSON.stringify(evidence) !== JSON.stringify(fact))
        return 'the ledger has another than the evidence'
      return undefined
    })
  }
  const wanted = await ledger.wanted(ref)
  await compare(WANTED, wanted.length > 0, (evidence) => {
    const noted = rangesIn(evidence)
    if (subtract(wanted, noted).length > 0) return 'the ledger has ranges the evidence lacks'
    if (subtract(noted, wanted).length > 0) behind++
    return undefined
  })
  return behind
}
