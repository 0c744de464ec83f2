import { spawn, spawnSync } from 'node:child_process'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Why the tests against the program `bigquery-emulator` do not run; `undefined` when they do. */
export const emulatorMissing: string | undefined =
  spawnSync('bigquery-emulator', ['--version']).error === undefined
    ? undefined
    : 'bigquery-emulator is not on PATH'

export interface Emulator {
  readonly url: string
  readonly project: string
  close(): Promise<void>
}

/** Starts it on localhost with its tables in memory. */
export async function startEmulator(): Promise<Emulator> {
  const [port, grpcPort] = [await freePort(), await freePort()]
  const project = 'test-project'
  const args = ['--host=127.0.0.1', `--project=${project}`, `--port=${port}`, `--grpc-port=${grpcPort}`]
  const child = spawn('bigquery-emulator', args, { stdio: 'ignore' })
  const url = `http://127.0.0.1:${port}`
  for (let attempt = 0; ; attempt++) {
    const up = await fetch(`${url}/bigquery/v2/projects/${project}/datasets`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (up) break
    if (attempt === 100) throw new Error('bigquery-emulator did not start in ten seconds')
    await sleep(100)
  }
  return {
    url,
    project,
    async close() {
      child.kill()
      await new Promise((done) => child.once('exit', done))
    },
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}
