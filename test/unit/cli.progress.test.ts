import { describe, expect, test } from 'vitest'
import type { Progress } from '../../src/app/api.ts'
import { ProgressView } from '../../src/cli/progress.ts'

const fetchAt = (done: number, more: Partial<Progress> = {}): Progress => ({
  phase: 'fetch',
  done,
  total: 100,
  bars: done * 1000,
  weightUsed: done * 2,
  weightCapacity: 6000,
  ...more,
})

function view(terminal: boolean, columns = 200) {
  let now = 0
  const writes: string[] = []
  const progress = new ProgressView({
    write: (text) => void writes.push(text),
    terminal,
    columns: () => columns,
    nowMs: () => now,
  })
  return { progress, writes, wait: (ms: number) => void (now += ms) }
}

describe('progress on a terminal', () => {
  test('is redrawn at most ten times a second, however often it changes', () => {
    const { progress, writes, wait } = view(true)
    for (let ms = 0; ms < 1_000; ms++) {
      progress.update(fetchAt(ms / 10))
      wait(1)
    }
    expect(writes.length).toBe(10)
  })

  test('shows bars per second, weight and an ETA from the measured rate', () => {
    const { progress, writes, wait } = view(true)
    progress.update(fetchAt(0))
    wait(10_000)
    progress.update(fetchAt(25))
    expect(writes.at(-1)).toContain('fetch  25 / 100  25.00 %  2,500 bars/s  weight 50/6,000  ETA 30 s')
  })

  test('keeps one line per phase and draws over it', () => {
    const { progress, writes, wait } = view(true)
    progress.update(fetchAt(1))
    wait(200)
    progress.update(fetchAt(1, { phase: 'settle', weightCapacity: 0 }))
    expect(writes.at(-1)!.split('\n').length - 1).toBe(2)
    wait(200)
    progress.update(fetchAt(2))
    expect(writes.at(-1)!.startsWith('\u001b[2A')).toBe(true)
    expect(writes.at(-1)).not.toContain('settle 1 / 100  1.00 %  0 bars/s  weight')
  })

  test('a line that stays goes above it', () => {
    const { progress, writes } = view(true)
    progress.update(fetchAt(1))
    progress.above('warn: x')
    const erased = '\u001b[1A\u001b[2K\n\u001b[1A'
    expect(writes.slice(1).join('').startsWith(`${erased}warn: x\n\u001b[2Kfetch`)).toBe(true)
  })

  test('never wraps', () => {
    const { progress, writes } = view(true, 30)
    progress.update(fetchAt(1))
    expect(writes[0]!.replace('\u001b[2K', '').trimEnd().length).toBeLessThanOrEqual(29)
  })
})

describe('progress elsewhere', () => {
  test('is one plain line every 30 s', () => {
    const { progress, writes, wait } = view(false)
    for (let second = 0; second <= 95; second++) {
      progress.update(fetchAt(second))
      wait(1_000)
    }
    progress.finish()
    expect(writes.length).toBe(3)
    expect(writes.join('')).not.toContain('\u001b')
  })
})
