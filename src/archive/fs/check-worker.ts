import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { faultCode } from '../../model/filesystem.ts'
import { type CheckJob, checkAnswer } from './check-answer.ts'
import { Damage } from './shape.ts'

interface BatchMessage {
  readonly id: number
  readonly directory: string
  readonly jobs: readonly CheckJob[]
}

/** One answer at a time lies in here: fresh memory for each would cost as much as reading it. */
let space = Buffer.allocUnsafeSlow(1 << 20)
let last: Promise<void> = Promise.resolve()

/** A thread of `Checkers`: answers batches of jobs in the order they come, one job after another. */
parentPort!.on('message', ({ id, directory, jobs }: BatchMessage) => {
  last = last.then(async () => {
    const checked = []
    for (const job of jobs) checked.push(await checkAnswer(directory, job, read))
    parentPort!.postMessage({ id, checked })
  })
})

/** Out of descriptors, with so few of them in use here, means another room holds them for a moment. */
const TRIES = 200

/** The bytes stand until the next call. */
function read(path: string): Uint8Array | undefined {
  for (let tries = 1; ; tries++) {
    try {
      return readInto(path)
    } catch (error) {
      const code = faultCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      if (code === 'EISDIR') throw new Damage('is a directory')
      if (tries >= TRIES || (code !== 'EMFILE' && code !== 'ENFILE')) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    }
  }
}

function readInto(path: string): Uint8Array {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    if (size + 1 > space.length) space = Buffer.allocUnsafeSlow(size + 1)
    let at = 0
    // One byte more than there should be: a file that grows meanwhile is read to its end all the same.
    for (let taken = 1; taken > 0; at += taken) {
      if (at === space.length) space = Buffer.concat([space, Buffer.allocUnsafeSlow(space.length)])
      taken = readSync(file, space, at, space.length - at, at)
    }
    return space.subarray(0, at)
  } finally {
    closeSync(file)
  }
}
