import type { AnswerMeta, CheckedAnswer } from '../archive/archive.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import type { TimeRange } from '../model/time.ts'
import { chainOf, followOn, freeNumber, type Link, linkOf } from './answer-chain.ts'
import { lostAnswers } from './evidence.ts'
import { type OnFault, repairHint } from './fault.ts'
import type { House, SeriesJob } from './house.ts'
import { sliceAnswered } from './own-slice.ts'

export interface AnswersChecked {
  /** Slices in the ledger, within the range. */
  readonly slices: number
  readonly files: number
  /** Slices whose answer is newer than the ledger knows: a run was interrupted. The next one takes them in. */
  readonly behind: ReadonlySet<string>
  /** Where those slices lie. */
  readonly behindRanges: readonly TimeRange[]
  /** Slices whose answers cannot be trusted. */
  readonly faulty: ReadonlySet<string>
}

/** Answers handed over together, and how many such groups are under way. */
const GROUP = 128
const GROUPS_AHEAD = 8

/**
 * Reads every archived answer of the range and hashes it, several at once: each has to be there, whole, the one the
 * ledger knows, and so has every older answer it names. Nothing is decoded. Holds the ids of one series in memory.
 */
export async function checkAnswers(
  house: Pick<House, 'archive' | 'ledger'>,
  job: SeriesJob,
  range: TimeRange,
  options: { readonly onFault: OnFault; readonly onProgress?: (slices: number) => void },
): Promise<AnswersChecked> {
  const check = new AnswerCheck(house, job, options)
  await check.begin()
  await check.recorded(range)
  await check.unrecorded()
  return check.result()
}

class AnswerCheck {
  readonly #house: Pick<House, 'archive' | 'ledger'>
  readonly #job: SeriesJob
  readonly #onFault: OnFault
  readonly #onProgress: (slices: number) => void
  /** How many answers each slice has, by id. A slice leaves when its record has come. */
  readonly #listed = new Map<string, number[]>()
  /** Hashes of older answers that are known to be gone. */
  readonly #lost = new Set<string>()
  readonly #behind = new Set<string>()
  readonly #behindRanges: TimeRange[] = []
  readonly #faulty = new Set<string>()
  #slices = 0
  #files = 0

  constructor(
    house: Pick<House, 'archive' | 'ledger'>,
    job: SeriesJob,
    options: { readonly onFault: OnFault; readonly onProgress?: (slices: number) => void },
  ) {
    this.#house = house
    this.#job = job
    this.#onFault = options.onFault
    this.#onProgress = options.onProgress ?? (() => {})
  }

  result(): AnswersChecked {
    const { behind, behindRanges, faulty } = {
      behind: this.#behind,
      behindRanges: this.#behindRanges,
      faulty: this.#faulty,
    }
    return { slices: this.#slices, files: this.#files, behind, behindRanges, faulty }
  }

  async begin(): Promise<void> {
    for (const { sha256 } of await lostAnswers(this.#house.archive, this.#job.folder)) this.#lost.add(sha256)
    for await (const { sliceId, version } of this.#house.archive.list(this.#job.folder)) {
      const versions = this.#listed.get(sliceId)
      if (versions) versions.push(version)
      else this.#listed.set(sliceId, [version])
    }
  }

  async recorded(range: TimeRange): Promise<void> {
    const underWay: Promise<void>[] = []
    let group: SliceRecord[] = []
    const send = async () => {
      underWay.push(this.#checkGroup(group))
      group = []
      if (underWay.length >= GROUPS_AHEAD) await underWay.shift()
    }
    for await (const record of this.#house.ledger.slices(this.#job.ref)) {
      if (record.range.startMs < range.endMs && record.range.endMs > range.startMs) {
        group.push(record)
        if (group.length >= GROUP) await send()
      } else this.#listed.delete(record.sliceId)
    }
    await send()
    await Promise.all(underWay)
  }

  async #checkGroup(records: readonly SliceRecord[]): Promise<void> {
    const files = records.flatMap(({ sliceId, sha256 }) => {
      const versions = new Set(this.#listed.get(sliceId) ?? [])
      this.#listed.delete(sliceId)
      if (sha256 !== null || versions.size > 0) versions.add(0)
      return [...versions].sort((a, b) => a - b).map((version) => ({ sliceId, version }))
    })
    const checked = await this.#house.archive.check(this.#job.folder, files)
    const bySlice = new Map<string, CheckedAnswer[]>()
    for (const one of checked) bySlice.set(one.sliceId, [...(bySlice.get(one.sliceId) ?? []), one])
    for (const record of records) this.#judge(record, bySlice.get(record.sliceId) ?? [])
    this.#files += checked.length
    this.#onProgress(this.#slices)
  }

  #judge(record: SliceRecord, [current, ...older]: readonly CheckedAnswer[]): void {
    this.#slices++
    if (!current) return // never answered
    for (const one of [current, ...older]) {
      if (one.damage !== undefined) this.#report('archive.corrupt', record, one.path, one.damage)
      else if (!one.answer && (one.version > 0 || record.sha256 !== null))
        this.#report('archive.missing', record, one.path, 'its answer is gone')
    }
    const links = this.#judgeChain(record, current, older)
    const { answer } = current
    if (!answer) return
    const { meta } = answer
    const known =
      answer.sha256 === record.sha256 &&
      meta.fetchedAtMs === record.completedAtMs &&
      meta.requestedAtMs === record.requestedAtMs &&
      meta.venueTimeMs === record.venueTimeMs &&
      meta.httpStatus === record.httpStatus
    if (known) return
    // By the venue's clock: ours may have been set back meanwhile. A slice that failed may have been answered all the same.
    const isNewer = meta.venueTimeMs >= (record.venueTimeMs ?? 0)
    if (record.sha256 === null || (isNewer && followOn(links, record.sha256)))
      this.#isBehind(record.sliceId, record.range)
    else {
      const detail = 'the answer is not the one the ledger knows'
      this.#report('archive.differs', record, current.path, detail)
    }
  }

  /** Each answer names the one whose place it took, and their numbers have no gap. */
  #judgeChain(record: SliceRecord, current: CheckedAnswer, older: readonly CheckedAnswer[]): readonly Link[] {
    const { archive } = this.#house
    const { links, strays, gone } = chainOf([...older, current].map(linkOf))
    for (const { path } of strays)
      this.#report('archive.stray', record, path, 'an older answer that no newer one superseded')
    const unexplained = gone.filter(({ sha256 }) => !this.#lost.has(sha256))
    for (const { version, sha256 } of unexplained) {
      const path = archive.pathOf(this.#job.folder, record.sliceId, version)
      this.#report('archive.missing', record, path, `the older answer with sha256 ${sha256} is gone`)
    }
    const free = strays.length + unexplained.length === 0 ? freeNumber(older) : undefined
    if (free !== undefined) {
      const path = archive.pathOf(this.#job.folder, record.sliceId, free)
      const detail = 'an older answer of a later number is there, this one is not'
      this.#report('archive.missing', record, path, detail)
    }
    return links
  }

  /** Answers that were archived just before a crash; whole, or they are damaged like any other. */
  async unrecorded(): Promise<void> {
    const files = [...this.#listed].flatMap(([sliceId, versions]) =>
      versions.map((version) => ({ sliceId, version })),
    )
    for (let at = 0; at < files.length; at += GROUP) {
      const checked = await this.#house.archive.check(this.#job.folder, files.slice(at, at + GROUP))
      this.#files += checked.length
      for (const { sliceId, path, answer, damage } of checked) {
        if (damage !== undefined) {
          const detail = `${damage}; the ledger knows nothing of it`
          this.#onFault({ kind: 'archive.corrupt', path, sliceId, detail, hint: repairHint })
        } else if (answer) await this.#judgeUnrecorded(sliceId, path, answer.meta)
      }
    }
  }

  /** A current answer to a slice of this series was left by an interrupted run. */
  async #judgeUnrecorded(sliceId: string, path: string, meta: AnswerMeta): Promise<void> {
    const { sliceKey: key } = meta
    const own = await sliceAnswered(this.#job, meta)
    if (own?.id !== sliceId) {
      const detail = `it answers slice ${key}, which is none of this series`
      this.#onFault({ kind: 'archive.stray', path, sliceId, detail, hint: repairHint })
    } else if (this.#listed.get(sliceId)?.includes(0)) this.#isBehind(sliceId, own.range)
    else if (!this.#faulty.has(sliceId)) {
      this.#faulty.add(sliceId)
      const current = this.#house.archive.pathOf(this.#job.folder, sliceId)
      const detail = `slice ${key}: only older answers are there`
      this.#onFault({ kind: 'archive.missing', path: current, sliceId, detail, hint: repairHint })
    }
  }

  #isBehind(sliceId: string, range: TimeRange): void {
    this.#behind.add(sliceId)
    this.#behindRanges.push(range)
  }

  #report(kind: string, record: SliceRecord, path: string, what: string): void {
    const { sliceId, key, range } = record
    this.#faulty.add(sliceId)
    this.#onFault({ kind, path, sliceId, range, detail: `slice ${key}: ${what}`, hint: repairHint })
  }
}
