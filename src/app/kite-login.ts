import { readFileSync, statSync } from 'node:fs'
import { chmod, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Config } from '../config/schema.ts'
import { EverybarError, messageOf } from '../model/errors.ts'
import { DAY_MS, type EpochMs, iso } from '../model/time.ts'

/** A login as its file keeps it. */
export interface KiteLogin {
  readonly apiKey: string
  readonly accessToken: string
  readonly userId: string
  readonly loggedInAtMs: EpochMs
  /** 06:00 IST after the login. */
  readonly expiresAtMs: EpochMs
}

type KiteConfig = Config['sources']['kite']

const SIX_IST_MS = 30 * 60_000

/** The next 06:00 Indian time: when the venue ends every login. */
export const loginEndAfter = (ms: EpochMs): EpochMs =>
  Math.floor((ms - SIX_IST_MS) / DAY_MS) * DAY_MS + DAY_MS + SIX_IST_MS

/** A login belongs to a person, not to a data root, so it is kept in the person's own configuration folder. */
export function tokenFileOf({ token_file: named }: KiteConfig): string {
  if (named === undefined) {
    const folder = process.env.XDG_CONFIG_HOME || join(homedir(), '.config')
    return join(folder, 'everybar', 'kite-token.json')
  }
  return named.startsWith('~/') ? join(homedir(), named.slice(2)) : resolve(named)
}

/**
 * What requests carry: the configured token, else that of the file. The file is read once, and again when that login has
 * ended: a service goes on with the next day's login, and no run changes from one that holds to another.
 *
 * @throws EverybarError `source.login-expired` (abort) when there is no login or it has ended; `config.missing`
 *   (abort) without an API key; `app.token-file` (abort) for a file that others can read, or that cannot be read.
 */
export function authorizationOf(config: KiteConfig, nowMs: () => EpochMs): () => string {
  let login: { readonly text: string; readonly endsAtMs: EpochMs } | undefined
  return () => {
    if (!login || nowMs() >= login.endsAtMs) login = currentLogin(config)
    if (nowMs() >= login.endsAtMs) throw noLogin(`the Kite login ended at ${iso(login.endsAtMs)}`)
    return login.text
  }
}

function currentLogin(config: KiteConfig): { readonly text: string; readonly endsAtMs: EpochMs } {
  const { api_key: apiKey, access_token: accessToken } = config
  if (accessToken !== undefined) {
    if (apiKey === undefined) throw missing('api_key')
    return { text: `token ${apiKey}:${accessToken}`, endsAtMs: Number.POSITIVE_INFINITY }
  }
  const login = readLogin(config)
  if (!login) throw noLogin('there is no Kite login')
  return { text: `token ${login.apiKey}:${login.accessToken}`, endsAtMs: login.expiresAtMs }
}

/** The login of the token file; `undefined` where there is none. */
export function readLogin(config: KiteConfig): KiteLogin | undefined {
  const path = tokenFileOf(config)
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) return undefined
  if (process.platform !== 'win32' && (found.mode & 0o077) !== 0)
    throw tokenFile(path, 'others can read it', `Run: chmod 600 ${path}, and log in again if it was exposed.`)
  try {
    const { apiKey, accessToken, userId, loggedInAtMs, expiresAtMs } = JSON.parse(
      readFileSync(path, 'utf8'),
    ) as Partial<KiteLogin>
    if (!apiKey || !accessToken || !Number.isFinite(expiresAtMs)) throw new Error('it holds no login')
    const since = Number(loggedInAtMs)
    return { apiKey, accessToken, userId: userId ?? '', loggedInAtMs: since, expiresAtMs: expiresAtMs! }
  } catch (error) {
    throw tokenFile(path, messageOf(error), 'Delete it and run "everybar kite login".')
  }
}

/** Keeps a login, readable by its owner only, replaced at one instant. */
export async function writeLogin(config: KiteConfig, login: KiteLogin): Promise<string> {
  const path = tokenFileOf(config)
  const temporary = join(dirname(path), `.tmp-${process.pid}`)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(temporary, `${JSON.stringify(login)}\n`, { mode: 0o600, flag: 'w' })
    await chmod(temporary, 0o600)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw tokenFile(path, messageOf(error), 'Name another file as sources.kite.token_file.')
  }
  return path
}

/** Forgets the login here. The venue ends it by itself. */
export async function forgetLogin(config: KiteConfig): Promise<boolean> {
  const path = tokenFileOf(config)
  const there = (await stat(path).catch(() => undefined)) !== undefined
  await rm(path, { force: true })
  return there
}

/** The page a person logs in at. It then goes to the app's redirect address, with `request_token=…`. */
export function loginUrl(config: KiteConfig): string {
  if (config.api_key === undefined) throw missing('api_key')
  return `${config.login_url}?v=3&api_key=${encodeURIComponent(config.api_key)}`
}

/** A request token by itself, or in the address the login page ended at. */
export function requestTokenIn(text: string): string {
  const trimmed = text.trim()
  const named = URL.canParse(trimmed) ? new URL(trimmed).searchParams.get('request_token') : trimmed
  if (named && /^[\w-]{4,128}$/.test(named)) return named
  throw new EverybarError('cli.request-token', 'there is no request token in that', {
    recovery: 'abort',
    hint: 'Copy the whole address the browser ended at, or what stands in it after request_token=.',
  })
}

/**
 * Changes a request token for an access token, through the venue's own client, and keeps it.
 *
 * @throws EverybarError `config.missing` (abort) without key or secret, `app.login-refused` (abort), `app.driver-missing`
 *   (abort) where the client is not installed, `app.token-file` (abort).
 */
export async function logIn(
  config: KiteConfig,
  requestToken: string,
  nowMs: EpochMs,
): Promise<KiteLogin & { readonly path: string }> {
  const { api_key: apiKey, api_secret: apiSecret } = config
  if (apiKey === undefined) throw missing('api_key')
  if (apiSecret === undefined) throw missing('api_secret')
  const { KiteConnect } = await loadClient()
  const client = new KiteConnect({ api_key: apiKey, root: config.base_url })
  const session = await client.generateSession(requestToken, apiSecret).catch((cause: unknown) => {
    throw refused(cause)
  })
  // The client gives an answer it does not understand back as a result.
  const accessToken: unknown = session?.access_token
  if (typeof accessToken !== 'string' || accessToken === '') throw refused(session)
  const expiresAtMs = loginEndAfter(nowMs)
  const login = {
    apiKey,
    accessToken,
    userId: String(session.user_id ?? ''),
    loggedInAtMs: nowMs,
    expiresAtMs,
  }
  return { ...login, path: await writeLogin(config, login) }
}

async function loadClient() {
  try {
    return await import('kiteconnect')
  } catch (cause) {
    throw new EverybarError('app.driver-missing', 'the Kite client is not installed', {
      recovery: 'abort',
      hint: 'Run: npm install kiteconnect@5, or set EVERYBAR_KITE_ACCESS_TOKEN.',
      cause,
    })
  }
}

/** The client rejects with plain objects; what they say holds no secret. */
function refused(cause: unknown): EverybarError {
  const { error_type: type = 'unknown', message = '' } = (cause ?? {}) as Record<string, string>
  return new EverybarError('app.login-refused', `the venue refused the login: ${type} ${message}`.trim(), {
    recovery: 'abort',
    hint: 'A request token serves once, for minutes. Open the login page again; check the API secret if it stays so.',
  })
}

const noLogin = (what: string): EverybarError =>
  new EverybarError('source.login-expired', what, {
    recovery: 'abort',
    hint: 'Run "everybar kite login", or set EVERYBAR_KITE_ACCESS_TOKEN; then the same command again: it goes on where it stopped.',
  })

const missing = (key: 'api_key' | 'api_secret'): EverybarError =>
  new EverybarError('config.missing', `sources.kite.${key} is not set`, {
    recovery: 'abort',
    hint: `Set EVERYBAR_KITE_${key.toUpperCase()}, or sources.kite.${key} to \${…} of another variable.`,
    path: `sources.kite.${key}`,
  })

const tokenFile = (path: string, what: string, hint: string): EverybarError =>
  new EverybarError('app.token-file', `the Kite login in ${path}: ${what}`, { recovery: 'abort', hint, path })
