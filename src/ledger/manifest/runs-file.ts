import type { FileSystem } from '../../model/filesystem.ts'
import { corrupt, newerVersion } from '../faults.ts'
import type { RunRecord } from '../ledger.ts'
import { latestFirst } from '../order.ts'
import { parse } from './document.ts'
import { readText, writeJson } from './series-file.ts'

const VERSION = 1
/** Older runs are dropped. */
const RUNS_MAX = 1_000

/** `runs.json`: the latest runs, replaced as one file. */
export class RunsFile {
  readonly #files: FileSystem
  readonly #path: string
  #last: Promise<unknown> = Promise.resolve()

  constructor(files: FileSystem, path: string) {
    this.#files = files
    this.#path = path
  }

  /** Latest first. */
  async read(): Promise<readonly RunRecord[]> {
    const text = await readText(this.#files, this.#path)
    if (text === undefined) return []
    const { version, runs } = parse(text, this.#path)
    if (typeof version !== 'number' || !Array.isArray(runs))
      throw corrupt(this.#path, 'it has no version or no runs')
    if (version > VERSION) throw newerVersion(this.#path, version, VERSION)
    return runs as readonly RunRecord[]
  }

  /** One after another: each reads what the one before has written. */
  put(run: RunRecord): Promise<void> {
    const write = async () => {
      const others = (await this.read()).filter(({ runId }) => runId !== run.runId)
      const runs = [...others, run].sort(latestFirst).slice(0, RUNS_MAX)
      await writeJson(this.#files, this.#path, `${JSON.stringify({ version: VERSION, runs }, null, 1)}\n`)
    }
    const mine = this.#last.then(write, write)
    this.#last = mine.catch(() => {})
    return mine
  }
}
