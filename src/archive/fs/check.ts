import { Worker } from 'node:worker_threads'
import { type Checked, type CheckJob, checkAnswer, type ReadAnswer } from './check-answer.ts'

export type { CheckJob } from './check-answer.ts'

/** Fewer answers than this are read sooner than a thread starts. */
const JOBS_WORTH_A_THREAD = 64

interface Batch {
  readonly id: number
  readonly directory: string
  readonly jobs: readonly CheckJob[]
}

interface Waiting {
  readonly resolve: (checked: readonly Checked[]) => void
  readonly reject: (error: unknown) => void
}

/** Hashing is most of the work of a proof: threads share it. Batches go to them in turn. They end with the process. */
export class Checkers {
  readonly #threads: number
  #workers: Worker[] = []
  #batches = 0
  readonly #waiting = new Map<number, Waiting>()

  /** @param threads 0: everything on the caller's. */
  constructor(threads: number) {
    this.#threads = threads
  }

  async run(directory: string, jobs: readonly CheckJob[], read: ReadAnswer): Promise<readonly Checked[]> {
    if (this.#threads > 0 && jobs.length >= JOBS_WORTH_A_THREAD) return this.#send(directory, jobs)
    const checked: Checked[] = []
    for (const job of jobs) checked.push(await checkAnswer(directory, job, read))
    return checked
  }

  #send(directory: string, jobs: readonly CheckJob[]): Promise<readonly Checked[]> {
    if (this.#workers.length < this.#threads) this.#workers.push(this.#start())
    const id = this.#batches++
    const worker = this.#workers[id % this.#workers.length]!
    const batch: Batch = { id, directory, jobs }
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      worker.ref()
      worker.postMessage(batch)
    })
  }

  #start(): Worker {
    const own = import.meta.url.endsWith('.ts') ? './check-worker.ts' : './check-worker.js'
    const worker = new Worker(new URL(own, import.meta.url))
    worker.on('message', ({ id, checked }: { id: number; checked: readonly Checked[] }) => {
      this.#waiting.get(id)?.resolve(checked)
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) for (const one of this.#workers) one.unref()
    })
    worker.on('error', (error) => {
      for (const { reject } of this.#waiting.values()) reject(error)
      this.#waiting.clear()
      this.#workers = this.#workers.filter((one) => one !== worker)
    })
    worker.unref()
    return worker
  }
}
