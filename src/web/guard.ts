import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { isLoopback } from '../config/serve.ts'
import { EverybarError } from '../model/errors.ts'

export interface GuardOptions {
  /** Where the server listens. */
  readonly host: string
  /** Further names it may be asked by. */
  readonly hosts: readonly string[]
  readonly token: string | undefined
}

/** Nobody may learn more of a running everybar from these than whether it is well. */
export const openPaths: ReadonlySet<string> = new Set(['/livez', '/readyz'])

const safeHeaders: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

/**
 * Lets a request through that may be answered: it is for a name of ours (a page elsewhere can point a name of its own at
 * this machine, and would be let in by the address alone), it only reads, and it has the token where there is one.
 *
 * @throws EverybarError `web.bad-host`, `web.method-not-allowed`, `web.unauthorized` (abort).
 */
export function guard(options: GuardOptions): MiddlewareHandler {
  const names = namesOf(options)
  const token = options.token === undefined ? undefined : digest(options.token)
  return async (context, next) => {
    for (const [name, value] of Object.entries(safeHeaders)) context.header(name, value)
    const { method, path } = context.req
    if (names && !names.has(nameIn(context.req.header('host')))) throw badHost(context.req.header('host'))
    if (method !== 'GET' && method !== 'HEAD') {
      context.header('allow', 'GET, HEAD')
      throw notAllowed(method)
    }
    if (token && !openPaths.has(path) && !carries(context.req.header('authorization'), token)) {
      context.header('www-authenticate', 'Bearer realm="everybar"')
      throw unauthorized()
    }
    await next()
  }
}

/** Whether the request has the token, or none is asked for. */
export function isTrusted(options: GuardOptions, authorization: string | undefined): boolean {
  return options.token === undefined || carries(authorization, digest(options.token))
}

/** Compared by their hashes, so that neither length nor content show in the time it takes. */
function carries(authorization: string | undefined, token: Buffer): boolean {
  const [, given = ''] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? []
  return timingSafeEqual(digest(given), token)
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The names a request may be for; any, where a token stands before them and none were given. */
function namesOf({ host, hosts }: GuardOptions): ReadonlySet<string> | undefined {
  if (!isLoopback(host) && hosts.length === 0) return undefined
  const local = isLoopback(host) ? ['localhost', '127.0.0.1', '::1'] : []
  return new Set([...local, ...[host, ...hosts].map((name) => bare(name.toLowerCase()))])
}

/** The name in a Host header, without its port; empty for none and for what is no name. */
function nameIn(header: string | undefined): string {
  if (!header || !URL.canParse(`http://${header}`)) return ''
  return bare(new URL(`http://${header}`).hostname)
}

const bare = (name: string): string => name.replace(/^\[(.*)\]$/, '$1')

const badHost = (host: string | undefined): EverybarError =>
  new EverybarError('web.bad-host', `"${(host ?? '').slice(0, 100)}" is no name of this server`, {
    recovery: 'abort',
    hint: 'Ask it as 127.0.0.1 or localhost, or list the name under serve.hosts.',
  })

const notAllowed = (method: string): EverybarError =>
  new EverybarError('web.method-not-allowed', `${method} is not answered: everything here only reads`, {
    recovery: 'abort',
    hint: 'Use GET.',
  })

const unauthorized = (): EverybarError =>
  new EverybarError('web.unauthorized', 'the token is missing or is another one', {
    recovery: 'abort',
    hint: 'Send Authorization: Bearer … with the token of serve.token (EVERYBAR_TOKEN).',
  })
