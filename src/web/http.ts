import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { isLoopback } from '../config/serve.ts'
import { EverybarError, messageOf } from '../model/errors.ts'

export interface HttpOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  readonly fetch: (request: Request) => Response | Promise<Response>
}

export interface HttpServer {
  /** `http://127.0.0.1:8080`; where it listens on every address, this machine's own. */
  readonly url: string
  readonly port: number
  /** Takes no more connections, and ends those there are, at the latest after a few seconds. */
  readonly close: () => Promise<void>
}

/** Connections at once. */
const CONNECTIONS_MAX = 256
/** What is being sent when the server closes may go on for so long. */
const CLOSE_MS = 2_000

/**
 * Refuses to be asked by others than this machine without a token.
 *
 * @throws EverybarError `serve.no-token` (abort).
 */
export function refuseOpenDoor({
  host,
  token,
}: {
  readonly host: string
  readonly token?: string | undefined
}) {
  if (isLoopback(host) || token !== undefined) return
  throw new EverybarError('serve.no-token', `serve.host ${host} is open to others, and there is no token`, {
    recovery: 'abort',
    hint: 'Set EVERYBAR_TOKEN (openssl rand -hex 32), or leave serve.host at 127.0.0.1.',
    path: 'serve.token',
  })
}

/** @throws EverybarError `serve.port-in-use`, `serve.cannot-listen` (abort). */
export async function startHttp({ host, port, fetch }: HttpOptions): Promise<HttpServer> {
  const server = createAdaptorServer({ fetch, overrideGlobalObjects: false }) as Server
  server.maxConnections = CONNECTIONS_MAX
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, error)))
    server.listen(port, host.replace(/^\[(.*)\]$/, '$1'), resolve)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${nameOf(address)}:${address.port}`,
    port: address.port,
    close: () => close(server),
  }
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const late = setTimeout(() => server.closeAllConnections(), CLOSE_MS)
  await closed
  clearTimeout(late)
}

function nameOf({ address, family }: AddressInfo): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return family === 'IPv6' ? `[${address}]` : address
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): EverybarError {
  if (cause.code === 'EADDRINUSE') {
    return new EverybarError('serve.port-in-use', `port ${port} of ${host} is taken`, {
      recovery: 'abort',
      hint: 'Is everybar running already? Else choose another with --port or serve.port.',
      path: 'serve.port',
      cause,
    })
  }
  return new EverybarError('serve.cannot-listen', `cannot listen on ${host}:${port}: ${messageOf(cause)}`, {
    recovery: 'abort',
    hint: 'Choose another address with serve.host, or another port with --port.',
    path: 'serve.host',
    cause,
  })
}
