import type { Answers, ArchivedResponse, CheckedAnswer } from '../archive/archive.ts'

/** One of the answers to a slice, as far as it says which came before it. Without a hash: it cannot be read. */
export interface Link {
  readonly version: number
  readonly sha256?: string | undefined
  readonly supersedes?: string | undefined
  /** Of a tail: the hashes it had before it grew. */
  readonly grewFrom?: readonly string[] | undefined
}

export interface Chain<L extends Link> {
  /** The answers that speak for the slice, oldest first; those that cannot be read are among them. */
  readonly links: readonly L[]
  /** Answers no newer one took the place of: nobody asked for them here. */
  readonly strays: readonly L[]
  /** Older answers a newer one names that are not there, with the number they had. */
  readonly gone: readonly { readonly version: number; readonly sha256: string }[]
}

/**
 * Follows the answers to a slice from the current one back: each names the hash of the one whose place it took. A put
 * that was interrupted may have left a second copy of the last one; it counts for nothing.
 *
 * @param answers oldest first, the current one last.
 */
export function chainOf<L extends Link>(answers: readonly L[]): Chain<L> {
  const links: L[] = []
  const strays: L[] = []
  const gone: { version: number; sha256: string }[] = []
  for (let at = answers.length - 1; at >= 0; ) {
    const link = answers[at--]!
    links.unshift(link)
    while (at >= 0 && isLeftOver(answers, at, link)) at--
    if (link.sha256 === undefined) continue // what it took the place of is not known
    const { supersedes } = link
    const before = answers.slice(0, at + 1)
    const named = supersedes === undefined ? -1 : before.findLastIndex(({ sha256 }) => sha256 === supersedes)
    if (supersedes === undefined || named >= 0) {
      strays.push(...before.slice(named + 1).filter(({ sha256 }) => sha256 !== undefined))
      at = named
    } else if (before.at(-1)?.sha256 !== undefined || before.length === 0)
      gone.push({ version: (before.at(-1)?.version ?? 0) + 1, sha256: supersedes })
  }
  return { links, strays, gone }
}

/** A copy of the current answer under the next number, or a tail as it was before it grew. */
function isLeftOver(answers: readonly Link[], at: number, { version, sha256, grewFrom }: Link): boolean {
  const one = answers[at]!
  if (one.sha256 === undefined) return false
  const isNext = one.version === (answers[at - 1]?.version ?? 0) + 1
  return grewFrom?.includes(one.sha256) === true || (version === 0 && one.sha256 === sha256 && isNext)
}

/** The first number of older answers that is free although a later one is taken: nobody reads on from there. */
export function freeNumber(older: readonly Link[]): number | undefined {
  const free = older.findIndex(({ version }, i) => version !== i + 1)
  return free < 0 ? undefined : free + 1
}

/** Whether answers that follow one another follow on one with that hash. */
export const followOn = (links: readonly Link[], sha256: string): boolean =>
  links.some((link) => [link.sha256, link.supersedes, ...(link.grewFrom ?? [])].includes(sha256))

export const linkOf = (one: CheckedAnswer) => ({
  ...one,
  sha256: one.answer?.sha256,
  supersedes: one.answer?.meta.supersedes,
})

/** An answer that was read back, as a link. */
export const linkIn = ({
  version = 0,
  sha256,
  meta,
  parts,
}: Omit<Answers, 'body'> & { readonly version?: number }) => ({
  version,
  sha256,
  supersedes: meta.supersedes,
  grewFrom: parts?.slice(0, -1).map((part) => part.sha256),
})

/** The older answers that count beside a current one, oldest first. */
export function supersededBy(
  current: Pick<ArchivedResponse, 'meta' | 'sha256' | 'parts'>,
  older: readonly ArchivedResponse[],
): readonly ArchivedResponse[] {
  const all = [...older.map((answer) => ({ ...linkIn(answer), answer })), linkIn(current)]
  return chainOf<Link & { readonly answer?: ArchivedResponse }>(all).links.flatMap(
    ({ answer }) => answer ?? [],
  )
}
