import { describe, expect, test } from 'vitest'
import { bytes, countsText, duration, number, percent } from '../../src/cli/format.ts'
import { writeError, writeOutcome } from '../../src/cli/output.ts'
import { csv, right, table } from '../../src/cli/table.ts'
import { ConfigError } from '../../src/config/faults.ts'
import { openBars } from '../../src/coverage/gap-class.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { printable } from '../../src/model/text.ts'
import { redactText } from '../../src/telemetry/redact.ts'

const plain = { json: false, quiet: false, verbose: 0, color: false }

function captured() {
  const text = { out: '', err: '' }
  const streams = {
    out: (more: string) => void (text.out += more),
    err: (more: string) => void (text.err += more),
  }
  return { text, streams }
}

function errorShown(error: unknown, verbosity = plain) {
  const { text, streams } = captured()
  const code = writeError(error, streams, verbosity, { redact: redactText })
  return { ...text, code }
}

describe('figures', () => {
  test.each([
    [number(0), '0'],
    [number(999), '999'],
    [number(1000), '1,000'],
    [number(1234567.6), '1,234,568'],
    [percent(1), '100.00 %'],
    [percent(0.999999), '99.99 %'],
    [percent(0), '0.00 %'],
    [duration(0), '0 ms'],
    [duration(850), '850 ms'],
    [duration(59_600), '1 min'],
    [duration(200_000), '3 min 20 s'],
    [duration(7_500_000), '2 h 5 min'],
    [duration(273_600_000), '3 d 4 h'],
    [duration(Number.POSITIVE_INFINITY), '?'],
    [bytes(999), '999 B'],
    [bytes(1_500_000), '1.5 MB'],
    [countsText({ no_trade: 1200, quarantined: 0 }), 'no_trade 1,200'],
    [countsText({}), '-'],
    [String(openBars({ no_trade: 5, never_fetched: 2, not_yet_final: 1 })), '3'],
  ])('%s', (found, expected) => expect(found).toBe(expected))
})

describe('tables', () => {
  test('columns line up, numbers on the right, no trailing blanks', () => {
    const text = table(
      ['series', right('bars'), 'note'],
      [
        ['a', '1,000', ''],
        ['long one', '7', 'x'],
      ],
    )
    expect(text).toBe('series     bars  note\na         1,000\nlong one      7  x')
  })
  test('without rows only the headings', () => expect(table(['a', 'b'], [])).toBe('a  b'))
  test('what drives a terminal is taken out', () => {
    expect(table(['a'], [['x\u001b[2Jy\nz']])).toBe('a\nx\ufffd[2Jy z')
    expect(printable('a\u0007b')).toBe('a\ufffdb')
  })
  test('CSV quotes what needs it', () => {
    expect(
      csv(
        ['a', 'b'],
        [
          [1, 'x'],
          ['p,q', 'say "hi"\nthere'],
        ],
      ),
    ).toBe('a,b\n1,x\n"p,q","say ""hi""\nthere"')
  })
})

describe('errors', () => {
  const error = new EverybarError('archive.disk-full', 'no space left', {
    recovery: 'abort',
    hint: 'Make room.',
    path: '/data',
  })
  test('code, path, message, then the hint, on stderr', () => {
    expect(errorShown(error)).toEqual({
      out: '',
      err: 'error[archive.disk-full] /data: no space left\nhint: Make room.\n',
      code: 1,
    })
  })
  test('quiet leaves the hint out', () => {
    expect(errorShown(error, { ...plain, quiet: true }).err).toBe(
      'error[archive.disk-full] /data: no space left\n',
    )
  })
  test('color paints the code and the hint', () => {
    const { err } = errorShown(error, { ...plain, color: true })
    expect(err).toContain('\u001b[1;31merror[archive.disk-full]\u001b[0m')
  })
  test('--json: one envelope on stdout, nothing on stderr', () => {
    const { out, err } = errorShown(error, { ...plain, json: true })
    expect(err).toBe('')
    expect(JSON.parse(out)).toEqual({
      ok: false,
      code: 1,
      error: { code: 'archive.disk-full', message: 'no space left', hint: 'Make room.', path: '/data' },
      runId: null,
    })
    expect(out.indexOf('\n')).toBe(out.length - 1)
  })
  test('every fault of a configuration by itself, one exit code', () => {
    const fault = (n: number) => ({
      code: 'config.unknown-key',
      message: 'unknown setting',
      hint: 'h',
      path: `p${n}`,
      where: `e.yaml:${n}:1`,
    })
    const { err, code } = errorShown(new ConfigError([fault(1), fault(2)], 'e.yaml'))
    expect(code).toBe(2)
    expect(err).toBe(
      'error[config.unknown-key] e.yaml:1:1 p1: unknown setting\nhint: h\nerror[config.unknown-key] e.yaml:2:1 p2: unknown setting\nhint: h\n',
    )
  })
  test('secrets in messages and control characters are not shown', () => {
    const leaky = new EverybarError(
      'fetch.unreachable',
      'https://me:pw@x.com/a?signature=abc&b=1 \u001b[31m',
      {
        recovery: 'retry',
        hint: '',
      },
    )
    expect(errorShown(leaky).err).toBe(
      'error[fetch.unreachable] https://[redacted]@x.com/a?signature=[redacted]&b=1 \ufffd[31m\n',
    )
  })
  test('stacks and causes only with -vv', () => {
    const caused = new EverybarError('a.b', 'outer', {
      recovery: 'abort',
      hint: '',
      cause: new Error('inner'),
    })
    expect(errorShown(caused, { ...plain, verbose: 1 }).err).not.toContain('inner')
    expect(errorShown(caused, { ...plain, verbose: 2 }).err).toContain('caused by: Error: inner')
  })
  test('what everybar did not throw is its own fault, said so', () => {
    expect(errorShown(new TypeError('boom')).err).toContain(
      'error[cli.unexpected] boom\nhint: This is a fault in everybar',
    )
  })
})

describe('outcomes', () => {
  const shown = (verbosity: Partial<typeof plain>, report = false) => {
    const { text, streams } = captured()
    const outcome = { data: { n: 1n }, text: 'hello', exitCode: 3, runId: 'r1', report }
    return { code: writeOutcome(outcome, streams, { ...plain, ...verbosity }), ...text }
  }
  test('text for people', () => expect(shown({})).toEqual({ code: 3, out: 'hello\n', err: '' }))
  test('-q keeps data', () => expect(shown({ quiet: true }).out).toBe('hello\n'))
  test('-q drops reports', () => expect(shown({ quiet: true }, true).out).toBe(''))
  test('--json: ok only when complete', () => {
    expect(JSON.parse(shown({ json: true }).out)).toEqual({
      ok: false,
      code: 3,
      data: { n: '1' },
      runId: 'r1',
    })
  })
})
