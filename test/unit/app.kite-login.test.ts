import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  authorizationOf,
  forgetLogin,
  type KiteLogin,
  loginEndAfter,
  loginUrl,
  readLogin,
  requestTokenIn,
  tokenFileOf,
  writeLogin,
} from '../../src/app/kite-login.ts'
import { configSchema } from '../../src/config/schema.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { DAY_MS } from '../../src/model/time.ts'
import { inFolder } from '../run-cli.ts'

const configOf = (given: object = {}) => configSchema.parse({ sources: { kite: given } }).sources.kite
const ist = (text: string) => Date.parse(`${text}+05:30`)
const login: KiteLogin = {
  apiKey: 'key',
  accessToken: 'access',
  userId: 'AB1234',
  loggedInAtMs: ist('2024-03-05T09:00:00'),
  expiresAtMs: ist('2024-03-06T06:00:00'),
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof EverybarError ? error.code : String(error)
  }
}

describe('when a login ends', () => {
  test.each([
    ['2024-03-05T09:00:00', '2024-03-06T06:00:00'],
    ['2024-03-05T23:59:59', '2024-03-06T06:00:00'],
    ['2024-03-06T05:59:59', '2024-03-06T06:00:00'],
    ['2024-03-06T06:00:00', '2024-03-07T06:00:00'],
  ])('logged in at %s: %s', (at, end) => expect(loginEndAfter(ist(at))).toBe(ist(end)))
})

describe('the token file', () => {
  test('keeps a login for its owner alone, replaces it, and is forgotten', async () => {
    await inFolder(async (folder) => {
      const config = configOf({ token_file: join(folder, 'deep', 'token.json') })
      expect(readLogin(config)).toBeUndefined()
      const path = await writeLogin(config, login)
      expect([path, statSync(path).mode & 0o777, statSync(join(folder, 'deep')).mode & 0o777]).toEqual([
        tokenFileOf(config),
        0o600,
        0o700,
      ])
      expect(readLogin(config)).toEqual(login)
      await writeLogin(config, { ...login, accessToken: 'newer' })
      expect(readLogin(config)?.accessToken).toBe('newer')
      expect([await forgetLogin(config), await forgetLogin(config)]).toEqual([true, false])
    })
  })

  test.each([
    ['others can read', JSON.stringify(login), 0o644],
    ['is no JSON', '{', 0o600],
    ['holds no token', '{"apiKey":"key"}', 0o600],
    ['holds no end', JSON.stringify({ ...login, expiresAtMs: null }), 0o600],
  ])('one that %s is refused, and says nothing of what it holds', async (_name, text, mode) => {
    await inFolder((folder) => {
      mkdirSync(join(folder, 'x'))
      const file = join(folder, 'x', 'token.json')
      writeFileSync(file, text)
      chmodSync(file, mode)
      const config = configOf({ token_file: file })
      expect(codeOf(() => readLogin(config))).toBe('app.token-file')
      expect(() => readLogin(config)).not.toThrow(/access/)
    })
  })
})

describe('what requests carry', () => {
  test('the file’s login until it ends, by the clock handed in', async () => {
    await inFolder(async (folder) => {
      const config = configOf({ token_file: join(folder, 'token.json') })
      await writeLogin(config, login)
      let nowMs = login.expiresAtMs - 1
      const authorization = authorizationOf(config, () => nowMs)
      expect(authorization()).toBe('token key:access')
      nowMs++
      expect(codeOf(authorization)).toBe('source.login-expired')
    })
  })

  test('the next day’s login, once the file’s first one has ended: a service runs for longer than a login', async () => {
    await inFolder(async (folder) => {
      const config = configOf({ token_file: join(folder, 'token.json') })
      await writeLogin(config, login)
      let nowMs = login.expiresAtMs - 1
      const authorization = authorizationOf(config, () => nowMs)
      authorization()
      await writeLogin(config, { ...login, accessToken: 'next', expiresAtMs: login.expiresAtMs + DAY_MS })
      expect(authorization()).toBe('token key:access')
      nowMs++
      expect(authorization()).toBe('token key:next')
    })
  })

  test.each([
    ['a configured token, which tells no end', { api_key: 'k', access_token: 't' }, undefined],
    ['a token without a key', { access_token: 't' }, 'config.missing'],
    ['nothing', {}, 'source.login-expired'],
  ])('%s', async (_name, given, code) => {
    await inFolder((folder) => {
      const config = configOf({ ...given, token_file: join(folder, 'none.json') })
      expect(codeOf(authorizationOf(config, () => 8e15))).toBe(code)
    })
  })
})

describe('the login page', () => {
  test('its address names the app, and needs a key', () => {
    expect(loginUrl(configOf({ api_key: 'a b' }))).toBe(
      'https://kite.zerodha.com/connect/login?v=3&api_key=a%20b',
    )
    expect(codeOf(() => loginUrl(configOf()))).toBe('config.missing')
  })

  test.each([
    ['abcdEFGH1234', 'abcdEFGH1234'],
    [' https://app.test/?action=login&request_token=abcdEFGH1234&status=success\n', 'abcdEFGH1234'],
  ])('a request token in %j', (text, token) => expect(requestTokenIn(text)).toBe(token))

  test.each([
    [''],
    ['https://app.test/?status=success'],
    ['two words'],
    ['https://app.test/?request_token='],
  ])('none in %j', (text) => expect(codeOf(() => requestTokenIn(text))).toBe('cli.request-token'))
})
