import { hash } from 'node:crypto'
import type { RawResponse } from '../../model/http.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import {
  type AnswerMeta,
  type AnswerName,
  type Archive,
  type ArchivedFile,
  type ArchivedResponse,
  type ArchiveFolder,
  answerMeta,
  type CheckedAnswer,
  type Evidence,
  repeated,
} from '../archive.ts'
import { answerName, evidencePath, folderPath } from '../paths.ts'

interface Kept {
  readonly folder: ArchiveFolder
  /** Per slice: the current answer first, then version 1, 2 … */
  readonly slices: Map<string, ArchivedResponse[]>
  puts: number
}

/** An archive that lives as long as the process; for tests. */
export function memoryArchive(): Archive {
  return new MemoryArchive()
}

class MemoryArchive implements Archive {
  readonly #folders = new Map<string, Kept>()
  readonly #evidence = new Map<string, { folder: string; name: string; evidence: Evidence }>()

  async put(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
  ): Promise<Omit<ArchivedResponse, 'body'>> {
    const fresh = answerMeta(slice, response, venueTimeMs)
    const sha256 = hash('sha256', response.body, 'hex')
    const body = response.body.slice()
    const versions = this.#versionsOf(folder, slice)
    const current = versions[0]
    const after = current ? { ...fresh, supersedes: current.sha256 } : fresh
    const meta = current?.sha256 === sha256 ? repeated(fresh, current.meta) : after
    if (current && current.sha256 !== sha256) versions.push({ ...current, version: versions.length })
    versions[0] = { sliceId: slice.id, meta, body, sha256, version: 0 }
    return { sliceId: slice.id, meta, sha256, version: 0 }
  }

  async extend(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
    window: TimeRange,
  ): Promise<Omit<ArchivedResponse, 'body'>> {
    const fresh: AnswerMeta = { ...answerMeta(slice, response, venueTimeMs), window }
    const body = response.body.slice()
    const own = hash('sha256', body, 'hex')
    const versions = this.#versionsOf(folder, slice)
    const current = versions[0]
    const tail = current?.parts ? current : undefined
    if (current && !tail) versions.push({ ...current, version: versions.length })
    const supersedes = tail ? tail.meta.supersedes : current?.sha256
    const sha256 = tail ? hash('sha256', `${tail.sha256} ${own}`, 'hex') : own
    const meta = {
      ...fresh,
      ...(supersedes !== undefined && { supersedes }),
      ...(tail && { extends: tail.sha256 }),
    }
    const parts = [...(tail?.parts ?? []), { meta, body, sha256 }]
    versions[0] = { sliceId: slice.id, meta, body, sha256, version: 0, parts }
    return { sliceId: slice.id, meta, sha256, version: 0 }
  }

  /** The answers to a slice, about to change. */
  #versionsOf(folder: ArchiveFolder, slice: AnswerName): ArchivedResponse[] {
    const name = folderPath(folder)
    const kept = this.#folders.get(name) ?? { folder, slices: new Map<string, ArchivedResponse[]>(), puts: 0 }
    this.#folders.set(name, kept)
    kept.puts++
    const versions = kept.slices.get(slice.id) ?? []
    kept.slices.set(slice.id, versions)
    return versions
  }

  async get(folder: ArchiveFolder, sliceId: string, version = 0): Promise<ArchivedResponse | undefined> {
    answerName(sliceId, version, 'none')
    return this.#folders.get(folderPath(folder))?.slices.get(sliceId)?.[version]
  }

  async *list(folder: ArchiveFolder, options?: { readonly sizes?: boolean }): AsyncIterable<ArchivedFile> {
    const slices = this.#folders.get(folderPath(folder))?.slices
    for (const versions of slices ? [...slices.values()] : []) {
      for (const { sliceId, version, body } of versions)
        yield options?.sizes ? { sliceId, version, bytes: body.byteLength } : { sliceId, version }
    }
  }

  async stamp(folder: ArchiveFolder): Promise<string | undefined> {
    return this.#folders.get(folderPath(folder))?.puts.toString()
  }

  async check(folder: ArchiveFolder, files: readonly ArchivedFile[]): Promise<readonly CheckedAnswer[]> {
    return Promise.all(
      files.map(async ({ sliceId, version }) => {
        const path = this.pathOf(folder, sliceId, version)
        const found = await this.get(folder, sliceId, version)
        if (!found) return { sliceId, version, path }
        const { body: _, parts, ...answer } = found
        const before = parts?.slice(0, -1).map((part) => part.sha256) ?? []
        return {
          sliceId,
          version,
          path,
          answer: { ...answer, version },
          ...(before.length > 0 && { grewFrom: before }),
        }
      }),
    )
  }

  async putEvidence(folder: ArchiveFolder, name: string, evidence: Evidence): Promise<void> {
    const path = evidencePath(folder, name)
    this.#evidence.set(path, { folder: folderPath(folder), name, evidence: structuredClone(evidence) })
  }

  async evidence(folder: ArchiveFolder, name: string): Promise<Evidence | undefined> {
    return structuredClone(this.#evidence.get(evidencePath(folder, name))?.evidence)
  }

  async evidenceNames(folder: ArchiveFolder): Promise<readonly string[]> {
    const path = folderPath(folder)
    return [...this.#evidence.values()].flatMap((kept) => (kept.folder === path ? [kept.name] : []))
  }

  async *folders(): AsyncIterable<ArchiveFolder> {
    for (const { folder } of [...this.#folders.values()]) yield folder
  }

  pathOf(folder: ArchiveFolder, sliceId: string, version = 0): string {
    return `${folderPath(folder)}/${answerName(sliceId, version, 'none')}`
  }
}
