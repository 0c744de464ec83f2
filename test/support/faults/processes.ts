import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Job, Result } from './child.ts'

/** How a process came to its end instead of an answer. */
export interface Ended {
  readonly ended: NodeJS.Signals | number | 'hung'
  readonly stderr: string
}

/** Longer than any command of the harness takes: what takes longer hangs. */
const HANGS_AFTER_MS = 60_000

/** A process that runs jobs; when one kills it the next job gets another. */
export class Runner<J extends object = Job, R extends object = Result> {
  readonly #script: string
  #child: ChildProcess | undefined
  #stderr = ''

  /** @param script beside this file: answers each job with a result. */
  constructor(script = './child.ts') {
    this.#script = fileURLToPath(new URL(script, import.meta.url))
  }

  async run(job: J): Promise<R | Ended> {
    const child = (this.#child ??= await this.#start())
    this.#stderr = ''
    return new Promise((resolve) => {
      const over = (outcome: R | Ended) => {
        clearTimeout(timer)
        child.off('message', answered)
        child.off('exit', exited)
        resolve(outcome)
      }
      const answered = (result: unknown) => over(result as R)
      const exited = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#child = undefined
        over({ ended: signal ?? code ?? 0, stderr: this.#stderr })
      }
      const timer = setTimeout(() => {
        this.#child = undefined
        child.kill('SIGKILL')
        over({ ended: 'hung', stderr: this.#stderr })
      }, HANGS_AFTER_MS)
      child.on('message', answered)
      child.on('exit', exited)
      child.send(job)
    })
  }

  async close(): Promise<void> {
    const child = this.#child
    this.#child = undefined
    if (!child) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async #start(): Promise<ChildProcess> {
    const child = fork(this.#script, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] })
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4_000)
    })
    // One that dies between two jobs is replaced by the next job.
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined
    })
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', (code) =>
        reject(new Error(`the harness's process ended with ${code}: ${this.#stderr}`)),
      )
    })
    return child
  }
}

export const hasEnded = (outcome: object): outcome is Ended => 'ended' in outcome
