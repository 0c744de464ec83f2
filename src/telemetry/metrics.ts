export type Labels = Readonly<Record<string, string>>

type Kind = 'counter' | 'gauge' | 'histogram'

interface Family {
  readonly name: string
  readonly help: string
  readonly kind: Kind
  /** Upper bounds of a histogram's buckets, ascending. */
  readonly bounds: readonly number[]
  readonly values: Map<
    string,
    { readonly labels: Labels; value: number; readonly buckets: number[]; count: number }
  >
}

export interface Counter {
  readonly add: (value: number, labels?: Labels) => void
}
export interface Gauge {
  readonly set: (value: number, labels?: Labels) => void
  /** Forgets every value, where what was measured may be gone. */
  readonly clear: () => void
}
export interface Histogram {
  readonly observe: (value: number, labels?: Labels) => void
}

/** Sets of labels one metric may have: past that the newest are left out, and counted. */
const SERIES_MAX = 10_000

/**
 * Numbers for Prometheus. Names in base units, counters end in `_total`; values are kept until asked for. `collect`
 * functions run before each reading, for what is measured on demand.
 */
export class Metrics {
  readonly #families = new Map<string, Family>()
  readonly #collectors: (() => void | Promise<void>)[] = []
  #refused = 0

  counter(name: string, help: string): Counter {
    const family = this.#family(name, help, 'counter')
    return { add: (value, labels) => this.#change(family, labels, (entry) => (entry.value += value)) }
  }

  gauge(name: string, help: string): Gauge {
    const family = this.#family(name, help, 'gauge')
    return {
      set: (value, labels) => this.#change(family, labels, (entry) => (entry.value = value)),
      clear: () => family.values.clear(),
    }
  }

  /** @param bounds upper bounds, ascending; the bucket without one is added. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const family = this.#family(name, help, 'histogram', bounds)
    return {
      observe: (value, labels) =>
        this.#change(family, labels, (entry) => {
          entry.value += value
          entry.count++
          bounds.forEach((bound, i) => {
            if (value <= bound) entry.buckets[i]!++
          })
        }),
    }
  }

  collect(collector: () => void | Promise<void>): void {
    this.#collectors.push(collector)
  }

  /** The text exposition format, version 0.0.4. A collector that fails leaves its numbers as they were. */
  async text(): Promise<string> {
    for (const collector of this.#collectors) {
      try {
        await collector()
      } catch {
        // Numbers are for looking at trouble; they must not be one.
      }
    }
    const refused = this.#refused === 0 ? [] : [`# ${this.#refused} sets of labels left out: too many`]
    return `${[...[...this.#families.values()].flatMap(linesOf), ...refused].join('\n')}\n`
  }

  #family(name: string, help: string, kind: Kind, bounds: readonly number[] = []): Family {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new TypeError(`"${name}" is no name of a metric`)
    const known = this.#families.get(name)
    if (known) return known
    const family: Family = { name, help, kind, bounds, values: new Map() }
    this.#families.set(name, family)
    return family
  }

  #change(
    family: Family,
    labels: Labels = {},
    change: (entry: { value: number; buckets: number[]; count: number }) => void,
  ): void {
    const key = labelText(labels)
    let entry = family.values.get(key)
    if (!entry) {
      if (family.values.size >= SERIES_MAX) {
        this.#refused++
        return
      }
      entry = { labels, value: 0, buckets: family.bounds.map(() => 0), count: 0 }
      family.values.set(key, entry)
    }
    change(entry)
  }
}

function linesOf({ name, help, kind, bounds, values }: Family): string[] {
  const lines = [`# HELP ${name} ${escaped(help)}`, `# TYPE ${name} ${kind}`]
  for (const { labels, value, buckets, count } of values.values()) {
    if (kind !== 'histogram') {
      lines.push(`${name}${labelText(labels)} ${numberText(value)}`)
      continue
    }
    bounds.forEach((bound, i) => {
      lines.push(`${name}_bucket${labelText({ ...labels, le: String(bound) })} ${buckets[i]}`)
    })
    lines.push(`${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`)
    lines.push(
      `${name}_sum${labelText(labels)} ${numberText(value)}`,
      `${name}_count${labelText(labels)} ${count}`,
    )
  }
  return lines
}

function labelText(labels: Labels): string {
  const names = Object.keys(labels).sort()
  if (names.length === 0) return ''
  return `{${names.map((name) => `${name}="${escaped(labels[name]!).replace(/"/g, '\\"')}"`).join(',')}}`
}

const escaped = (text: string): string => text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')

const numberText = (value: number): string =>
  Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
