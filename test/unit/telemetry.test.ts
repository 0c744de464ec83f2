import { describe, expect, test } from 'vitest'
import { consoleLog, type LogLevel } from '../../src/telemetry/console-log.ts'
import { redact, redactText } from '../../src/telemetry/redact.ts'

describe('nothing secret is printed', () => {
  test.each([
    ['https://me:pw@x.com/a', 'https://[redacted]@x.com/a'],
    ['postgres://me:p%40w@db:5432/x failed', 'postgres://[redacted]@db:5432/x failed'],
    [
      'GET https://x.com/a?symbol=A&signature=abc&limit=1',
      'GET https://x.com/a?symbol=A&signature=[redacted]&limit=1',
    ],
    ['https://x.com/?api_key=abc#x', 'https://x.com/?api_key=[redacted]#x'],
    ['https://x.com/?access_token=abc', 'https://x.com/?access_token=[redacted]'],
    ['https://x.com/user@example?symbol=A', 'https://x.com/user@example?symbol=A'],
    ['binance:spot:BTCUSDT:1m', 'binance:spot:BTCUSDT:1m'],
  ])('%s', (text, expected) => expect(redactText(text)).toBe(expected))

  test.each([
    'password',
    'apiKey',
    'api_key',
    'API-KEY',
    'Authorization',
    'secret',
    'accessToken',
    'enctoken',
    'cookie',
    'x-signature',
  ])('a field named %s', (name) =>
    expect(redact({ [name]: 'x', symbol: 'A' })).toEqual({ [name]: '[redacted]', symbol: 'A' }),
  )

  test('in depth, in lists, in errors', () => {
    const error = Object.assign(new Error('at //me:pw@x'), { code: 'E1' })
    expect(redact({ a: [{ token: 't', n: 1n }], error, none: null })).toEqual({
      a: [{ token: '[redacted]', n: '1' }],
      error: { code: 'E1', message: 'at //[redacted]@x' },
      none: null,
    })
  })
})

describe('log lines', () => {
  const lines = (
    level: LogLevel,
    json: boolean,
    ...events: Parameters<ReturnType<typeof consoleLog>>[0][]
  ) => {
    const written: string[] = []
    const log = consoleLog({ level, json, write: (line) => void written.push(line), nowMs: () => 0 })
    for (const event of events) log(event)
    return written
  }

  test('JSON with the time, the level and the event first', () => {
    const [line] = lines('info', true, { event: 'slice_done', run_id: 'r', rows: 3, token: 'x' })
    expect(line).toBe(
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","event":"slice_done","run_id":"r","rows":3,"token":"[redacted]"}',
    )
  })

  test('a line for people', () => {
    const [line] = lines('warn', false, {
      event: 'banned',
      level: 'warn',
      url: 'https://a:b@x',
      note: 'one\ntwo',
      n: 1,
    })
    expect(line).toBe('warn: banned url=https://[redacted]@x note=one two n=1')
  })

  test.each<[LogLevel, number]>([
    ['debug', 4],
    ['info', 3],
    ['warn', 2],
    ['error', 1],
  ])('%s lets %i of four through', (level, count) => {
    const events = (['debug', 'info', 'warn', 'error'] as const).map((own) => ({ event: 'x', level: own }))
    expect(lines(level, true, ...events).length).toBe(count)
  })

  test('what cannot be printed is dropped, not thrown', () => {
    const loop: Record<string, unknown> = {}
    loop.self = loop
    expect(() => lines('info', true, { event: 'x', loop })).not.toThrow()
  })
})
