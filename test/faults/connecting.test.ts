import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createFetcher } from '../../src/fetch/undici/create-fetcher.ts'
import { systemClock } from '../http-server.ts'
import { inFolder, runCli } from '../run-cli.ts'

const certificate = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}.pem`, import.meta.url))

/** A venue behind TLS that knows one answer: what it is asked is counted. */
async function tlsVenue(name: string) {
  let requests = 0
  const options = { cert: readFileSync(certificate(name)), key: readFileSync(certificate('server-key')) }
  const server = createServer(options, (_, response) => {
    requests++
    response.setHeader('content-type', 'application/json').end('{"code":-1121,"msg":"Invalid symbol."}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: () => requests,
    close: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe('the certificate of a venue', () => {
  test.each([
    ['nobody known has signed it', 'good', undefined, 'fetch.untrusted', 0],
    ['it has expired', 'expired', 'authority', 'fetch.untrusted', 0],
    ['it is another host’s', 'other-host', 'authority', 'fetch.untrusted', 0],
    ['it holds', 'good', 'authority', 'source.unknown-symbol', 1],
  ])('%s', async (_name, own, authority, code, atLeast) => {
    const venue = await tlsVenue(own)
    try {
      await inFolder(async (root) => {
        const { code: exit, stderr } = await runCli(
          ['sync', 'binance:spot:BTCUSDT:1m', '--from', '2024-01-01', '--root', root],
          {
            env: {
              EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
              EVERYBAR__FETCH__ATTEMPTS: '2',
              EVERYBAR__FETCH__BACKOFF_BASE_MS: '1',
              ...(authority && { NODE_EXTRA_CA_CERTS: certificate(authority) }),
            },
          },
        )
        expect(exit).not.toBe(0)
        expect(stderr).toContain(`error[${code}]`)
        if (code === 'fetch.untrusted') expect(stderr).toMatch(/hint: .*clock.*proxy/)
        expect(venue.requests()).toBeGreaterThanOrEqual(atLeast)
        if (atLeast === 0) expect(venue.requests()).toBe(0)
      })
    } finally {
      venue.close()
    }
  })
})

test.skipIf(process.platform !== 'linux')(
  'a host that never answers the call: the connect timeout ends it (skipped where queues of connections are kept otherwise)',
  async () => {
    const deaf = fork(fileURLToPath(new URL('../support/deaf-server.ts', import.meta.url)), { execArgv: [] })
    const callers: Socket[] = []
    const fetcher = createFetcher({
      clock: systemClock,
      onEvent: () => {},
      timeouts: { connectMs: 200 },
      retry: { attempts: 2, baseMs: 1 },
    })
    try {
      const [port] = (await once(deaf, 'message')) as [number]
      deaf.kill('SIGSTOP')
      // Callers until one is left waiting: then the queue is full.
      for (let waiting = false; !waiting && callers.length < 64; ) {
        const caller = connect(port, '127.0.0.1').on('error', () => {})
        callers.push(caller)
        waiting = !(await Promise.race([once(caller, 'connect').then(() => true), sleep(100)]))
      }
      const request = { url: `http://127.0.0.1:${port}/x`, bucket: 'venue', weight: 1 }
      await expect(fetcher.fetch(request, {})).rejects.toMatchObject({
        code: 'fetch.timeout',
        recovery: 'retry',
        message: expect.stringContaining('connecting took too long'),
      })
      expect(fetcher.stats()).toMatchObject({ requests: 0, retries: 1 })
    } finally {
      for (const caller of callers) caller.destroy()
      await fetcher[Symbol.asyncDispose]()
      deaf.kill('SIGKILL')
    }
  },
)
