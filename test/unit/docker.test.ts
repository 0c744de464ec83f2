import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { inFolder } from '../run-cli.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const text = (path: string) => readFileSync(join(root, path), 'utf8')

interface Instruction {
  readonly name: string
  readonly rest: string
}

/** A Dockerfile as its instructions, continued lines joined. */
const instructions: readonly Instruction[] = text('Dockerfile')
  .replace(/^\s*#.*\n/gm, '')
  .replace(/\\\n\s*/g, ' ')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    return { name, rest }
  })
const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === 'FROM'))
const of = (name: string, stage = lastStage) =>
  stage.filter((one) => one.name === name).map(({ rest }) => rest)

describe('Dockerfile', () => {
  test('every line is an instruction', () => {
    const known = /^(FROM|WORKDIR|COPY|RUN|LABEL|ENV|USER|VOLUME|HEALTHCHECK|STOPSIGNAL|ENTRYPOINT|CMD)$/
    expect(instructions.filter(({ name }) => !known.test(name))).toEqual([])
  })

  test('two stages on one pinned, slim Node, the one the lock has', () => {
    const { devDependencies } = JSON.parse(text('package.json'))
    const from = `node:${devDependencies.node}-bookworm-slim`
    expect(of('FROM', [...instructions])).toEqual([`${from} AS build`, from])
  })

  test('not root, a volume for data, a health check, everybar live', () => {
    expect(of('USER')).toEqual(['node'])
    expect(of('VOLUME')).toEqual(['/data'])
    expect(of('HEALTHCHECK')).toHaveLength(1)
    expect(of('ENTRYPOINT')).toEqual(['["everybar"]'])
    expect(of('CMD')).toEqual(['["live"]'])
    const after = lastStage.slice(lastStage.findIndex(({ name }) => name === 'USER'))
    expect(after.some(({ name }) => name === 'RUN' || name === 'COPY')).toBe(false)
  })

  test('no install script runs, nothing of development travels on, no secret is baked in', () => {
    const installs = of('RUN', [...instructions]).flatMap((run) => run.match(/npm ci[^&]*/g) ?? [])
    expect(installs).toHaveLength(2)
    for (const install of installs) expect(install).toContain('--ignore-scripts')
    expect(installs.at(-1)).toContain('--omit=dev')
    expect(text('Dockerfile')).not.toMatch(/TOKEN|PASSWORD|SECRET|API_KEY/)
  })

  test('what is copied is there, and let through by .dockerignore', () => {
    const allowed = text('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    const copied = instructions
      .filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1))
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([])
    expect(
      copied.filter((path) => !allowed.some((one) => path === one || path.startsWith(`${one}/`))),
    ).toEqual([])
  })
})

describe('the health check', () => {
  const health = async (env: Readonly<Record<string, string>>) => {
    const child = spawn(process.execPath, [join(root, 'docker/health.mjs')], { env, stdio: 'ignore' })
    const [code] = (await once(child, 'exit')) as [number]
    return code
  }
  const listening = async (status: number) => {
    const server = createServer((_, response) => response.writeHead(status).end())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    return String((server.address() as AddressInfo).port)
  }

  /** A port nobody listens at. */
  const free = async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    return String(port)
  }

  test('is what the process says of itself, at the port it was given', async () => {
    expect(await health({ EVERYBAR__SERVE__PORT: await listening(200) })).toBe(0)
    expect(await health({ EVERYBAR__SERVE__PORT: await listening(503) })).toBe(1)
    const url = `http://127.0.0.1:${await listening(200)}/livez`
    expect(await health({ EVERYBAR_HEALTH_URL: url, EVERYBAR__SERVE__PORT: '1' })).toBe(0)
  })

  test('where nothing listens, what was written last', () =>
    inFolder(async (data) => {
      const env = { EVERYBAR__SERVE__PORT: await free(), EVERYBAR_DATA_ROOT: data }
      expect(await health(env), 'nothing was ever written').toBe(1)
      mkdirSync(join(data, '.everybar'))
      writeFileSync(join(data, '.everybar/ledger.db'), '')
      expect(await health(env)).toBe(0)
      const longAgo = new Date(Date.now() - 3_600_000)
      utimesSync(join(data, '.everybar/ledger.db'), longAgo, longAgo)
      expect(await health(env)).toBe(1)
      expect(await health({ ...env, EVERYBAR_HEALTH_STALE_SECONDS: '7200' })).toBe(0)
    }))

  test('the image has `live` answer where it is asked', () => {
    const env = of('ENV').join(' ')
    expect(env).toContain('EVERYBAR__SERVE__ENABLED=true')
    expect(env).not.toMatch(/SERVE__(HOST|PORT)/)
    const { config } = loadConfig({ cwd: root, home: '/tmp', env: { EVERYBAR__SERVE__ENABLED: 'true' } })
    expect(config.serve).toMatchObject({ enabled: true, host: '127.0.0.1', port: 8080 })
    expect(text('docker/health.mjs')).toContain('EVERYBAR__SERVE__PORT || 8080}/livez')
  })
})

interface Service {
  readonly image?: string
  readonly build?: string
  readonly profiles?: readonly string[]
  readonly ports?: readonly string[]
  readonly volumes?: readonly string[]
  readonly network_mode?: string
  readonly depends_on?: Readonly<Record<string, unknown>>
  readonly read_only?: boolean
  readonly command?: readonly string[]
}

describe('compose.yaml', () => {
  const compose = parse(text('compose.yaml'), { merge: true }) as {
    readonly services: Readonly<Record<string, Service>>
    readonly volumes: Readonly<Record<string, unknown>>
  }
  const services = Object.entries(compose.services)

  test('the profiles there are', () => {
    const profiles = new Set(services.flatMap(([, { profiles: own = [] }]) => own))
    expect([...profiles].sort()).toEqual(['demo', 'observability', 'timescale'])
    expect(services.filter(([, one]) => !one.profiles).map(([name]) => name)).toEqual(['everybar'])
  })

  test('images are pinned, ports are on loopback, our own containers are read-only', () => {
    for (const [name, one] of services) {
      if (one.image !== 'everybar') expect(one.image, name).toMatch(/:v?\d+\.\d+/)
      else expect(one.read_only, name).toBe(true)
      for (const port of one.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/)
    }
  })

  test('what is mounted is a volume that is declared, or a file that is here', () => {
    for (const [, one] of services) {
      for (const mount of one.volumes ?? []) {
        const [source = ''] = mount.split(':')
        if (source === './everybar.yaml') continue // the user's own
        if (source.startsWith('./')) expect(existsSync(join(root, source)), source).toBe(true)
        else expect(Object.keys(compose.volumes)).toContain(source)
      }
    }
  })

  test('what is referred to is there', () => {
    const names = services.map(([name]) => name)
    for (const [, { network_mode, depends_on = {} }] of services) {
      if (network_mode) expect(names).toContain(network_mode.replace('service:', ''))
      for (const other of Object.keys(depends_on)) expect(names).toContain(other)
    }
  })
})

describe('observability', () => {
  test('every file is whole', () => {
    const files = globSync('docker/**/*.{yaml,json}', { cwd: root })
    expect(files.length).toBeGreaterThanOrEqual(5)
    for (const file of files) expect(typeof parse(text(file)), file).toBe('object')
  })

  test('the dashboard asks sources that are provisioned', () => {
    const dashboard = JSON.parse(text('docker/grafana/dashboards/everybar.json'))
    const sources = parse(text('docker/grafana/provisioning/datasources/everybar.yaml')).datasources
    const uids = sources.map(({ uid }: { uid: string }) => uid)
    const ids = dashboard.panels.map(({ id }: { id: number }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { title, targets } of dashboard.panels)
      for (const { datasource } of targets) expect(uids, title).toContain(datasource.uid)
  })
})
