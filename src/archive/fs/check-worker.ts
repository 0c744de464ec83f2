import { readFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { faultCode } from '../../model/filesystem.ts'
import { type CheckJob, checkAnswer } from './check-answer.ts'
import { Damage } from './shape.ts'

/** A thread of `Checkers`: answers batches of jobs in the order they come. */
parentPort!.on('message', async ({ id, directory, jobs }: BatchMessage) => {
  const checked = []
  for (const job of jobs) checked.push(await checkAnswer(directory, job, read))
  parentPort!.postMessage({ id, checked })
})

interface BatchMessage {
  readonly id: number
  readonly directory: string
  readonly jobs: readonly CheckJob[]
}

/** Out of descriptors, with so few of them in use here, means another room holds them for a moment. */
const TRIES = 200

function read(path: string): Uint8Array | undefined {
  for (let tries = 1; ; tries++) {
    try {
      return readFileSync(path)
    } catch (error) {
      const code = faultCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      if (code === 'EISDIR') throw new Damage('is a directory')
      if (tries >= TRIES || (code !== 'EMFILE' && code !== 'ENFILE')) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
}
