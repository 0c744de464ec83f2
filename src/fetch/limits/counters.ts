/** What the venue says was spent in a window, from `x-mbx-used-weight-1m: 240`. */
export interface Counter {
  readonly windowMs: number
  readonly used: number
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const name = /^x-[a-z]+-used-weight-(\d{1,6})([smhd])$/

/** The used-weight counters among the headers of an answer (lower-case names); none is an empty list. */
export function countersIn(headers: Readonly<Record<string, string>>): Counter[] {
  const found: Counter[] = []
  for (const [header, value] of Object.entries(headers)) {
    const match = name.exec(header)
    if (!match || !/^\d{1,12}$/.test(value)) continue
    found.push({ windowMs: Number(match[1]) * unitMs[match[2]!]!, used: Number(value) })
  }
  return found
}
