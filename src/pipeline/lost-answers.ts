import type { ArchivedResponse } from '../archive/archive.ts'
import { isEverybarError } from '../model/errors.ts'
import type { Slice } from '../model/slice.ts'
import { chainOf, linkOf, supersededBy } from './answer-chain.ts'
import { knownEdge } from './edges.ts'
import { type LostAnswer, noteLost } from './evidence.ts'
import type { House, SeriesJob } from './house.ts'
import type { Mover } from './repair.ts'
import { settleable } from './slice-answers.ts'

type Reading = Pick<House, 'archive' | 'ledger' | 'stores' | 'onEvent'>

/** The slice and the number in an answer’s path; 0 is the current one. `undefined` for every other path. */
export function answerIn(path: string): { readonly sliceId: string; readonly version: number } | undefined {
  const [, sliceId, number = '0'] =
    /\/responses\/([0-9a-f]{32})(?:\.(\d+))?(?:\.tail)?\.json(?:\.zst)?$/.exec(path) ?? []
  return sliceId === undefined ? undefined : { sliceId, version: Number(number) }
}

const withNumber = (path: string, version: number): string =>
  path.replace(/\.\d+((?:\.tail)?\.json(?:\.zst)?)$/, `.${version}$1`)

/** Older answers that are gone leave no number free: those after them move up, and what is lost is noted by its hash. */
export async function closeRanks(
  { archive, clock }: Pick<House, 'archive' | 'clock'>,
  { folder }: SeriesJob,
  sliceIds: ReadonlySet<string>,
  mover: Pick<Mover, 'rename'>,
): Promise<void> {
  if (sliceIds.size === 0) return
  const lost: LostAnswer[] = []
  for (const [sliceId, numbers] of await olderNumbers(archive, folder, sliceIds)) {
    const files = numbers.map((version) => ({ sliceId, version }))
    for (const [i, { path, version }] of (await archive.check(folder, files)).entries())
      if (version !== i + 1) await mover.rename(path, withNumber(path, i + 1))
    const now = [...numbers.map((_, i) => i + 1), 0].map((version) => ({ sliceId, version }))
    const { gone } = chainOf((await archive.check(folder, now)).map(linkOf))
    for (const { sha256 } of gone) lost.push({ sliceId, sha256, noticedAtMs: clock.nowMs() })
  }
  await noteLost(archive, folder, lost)
}

/** The numbers of the older answers of some slices, ascending. */
async function olderNumbers(
  archive: House['archive'],
  folder: SeriesJob['folder'],
  sliceIds: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly number[]>> {
  // A number may be there in two forms, of which the first counts.
  const numbers = new Map([...sliceIds].map((id) => [id, new Set<number>()]))
  for await (const { sliceId, version } of archive.list(folder))
    if (version > 0) numbers.get(sliceId)?.add(version)
  return new Map([...numbers].map(([id, some]) => [id, [...some].sort((a, b) => a - b)]))
}

/** The answers that speak for a slice and can be read, oldest first, whatever numbers they have. */
export async function answersLeft(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  sliceId: string,
): Promise<readonly ArchivedResponse[]> {
  const numbers = await olderNumbers(house.archive, job.folder, new Set([sliceId]))
  const answers: ArchivedResponse[] = []
  for (const version of [...numbers.get(sliceId)!, 0]) {
    try {
      const answer = await house.archive.get(job.folder, sliceId, version)
      if (answer) answers.push(answer)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
    }
  }
  const current = answers.at(-1)?.version === 0 ? answers.pop()! : undefined
  return current ? [...supersededBy(current, answers), current] : answers
}

/**
 * Whether the first store has bars of a slice that none of the answers to it holds any more; `undefined` where the store
 * cannot be read.
 */
export async function isLastToHave(
  house: Reading,
  job: SeriesJob,
  own: Slice,
  answers: readonly ArchivedResponse[],
): Promise<boolean | undefined> {
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const held = answers.length > 0 ? (await settleable(job, own, answers, anchorMs)).bars.openTimeMs : []
  const archived = new Set(held)
  try {
    for await (const { openTimeMs } of house.stores[0]!.scan(job.series, own.range))
      if (openTimeMs.some((ms) => !archived.has(ms))) return true
    return false
  } catch (error) {
    if (!isEverybarError(error, 'store.corrupt')) throw error
    return undefined
  }
}
