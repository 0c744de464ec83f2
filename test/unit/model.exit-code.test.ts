import { describe, expect, test } from 'vitest'
import { EverybarError, type Recovery } from '../../src/model/errors.ts'
import { exitCodeOf, exitCodeOfError, exitCodeOfProblems } from '../../src/model/exit-code.ts'

describe('the exit code of an error', () => {
  test.each<[code: string, recovery: Recovery, exitCode: number]>([
    ['cli.usage', 'abort', 2],
    ['cli.bad-time', 'abort', 2],
    ['cli.range-reversed', 'abort', 2],
    ['cli.node-too-old', 'abort', 2],
    ['config.unknown-key', 'abort', 2],
    ['config.invalid', 'abort', 2],
    ['series.bad-selector', 'abort', 2],
    ['timeframe.unknown', 'abort', 2],
    ['time.bad-range', 'abort', 2],
    ['source.unknown-symbol', 'abort', 2],
    ['source.unknown-timeframe', 'abort', 2],
    ['source.no-bars', 'abort', 2],
    ['sync.no-bars', 'abort', 1],
    ['app.unknown-venue', 'abort', 2],
    ['root.not-a-folder', 'abort', 2],
    ['query.bad-sql', 'abort', 2],
    ['query.out-of-memory', 'abort', 1],
    ['source.not-served', 'abort', 2],
    ['simulator.bad-option', 'abort', 2],
    ['archive.corrupt', 'quarantine', 4],
    ['loader.bad-export', 'abort', 2],
    ['loader.out-not-empty', 'abort', 2],
    ['loader.incomplete', 'abort', 3],
    ['loader.unreadable-file', 'abort', 4],
    ['loader.input-changed', 'retry', 5],
    ['loader.lock-changed', 'abort', 1],
    ['ledger.corrupt', 'abort', 4],
    ['fetch.rate-limited', 'retry', 5],
    ['fetch.banned', 'retry', 5],
    ['fetch.unreachable', 'retry', 5],
    ['source.anything', 'retry', 5],
    ['root.not-found', 'abort', 10],
    ['root.locked', 'retry', 11],
    ['kite.login-expired', 'abort', 12],
    ['source.unreadable', 'quarantine', 1],
    ['archive.disk-full', 'abort', 1],
    ['ledger.newer-version', 'abort', 1],
    ['fetch.redirect', 'abort', 1],
  ])('%s (%s) is %i', (code, recovery, exitCode) => {
    expect(exitCodeOf(code, recovery)).toBe(exitCode)
    expect(exitCodeOfError(new EverybarError(code, '', { recovery, hint: '' }))).toBe(exitCode)
  })

  test('anything else that was thrown is a failure', () => {
    expect([new Error('x'), 'x', undefined].map(exitCodeOfError)).toEqual([1, 1, 1])
  })
})

describe('the exit code of an incomplete run', () => {
  const retry = { code: 'fetch.banned', recovery: 'retry' } as const
  const unknown = { code: 'source.unknown-symbol', recovery: 'abort' } as const
  test.each([
    ['nothing went wrong, bars are still missing', [], 3],
    ['the venue is down', [retry], 5],
    ['the venue is down, and a page could not be read', [retry, { code: 'source.unreadable' }], 3],
    ['one symbol does not exist', [retry, unknown], 2],
    ['one answer is corrupt', [unknown, { code: 'archive.corrupt' }], 4],
    ['the login has expired', [unknown, { code: 'source.login-expired' }], 12],
    ['a problem whose recovery nobody said', [{ code: 'fetch.banned' }], 3],
  ])('%s', (_, problems, exitCode) => expect(exitCodeOfProblems(problems)).toBe(exitCode))
})
