import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml'
import { type ConfigFault, dotted, type SettingPath } from './faults.ts'
import { type Environment, interpolate } from './interpolate.ts'

/** A YAML file as plain values, and where each of them stands. */
export interface YamlFile {
  readonly value: unknown
  /** `everybar.yaml:3:13` of a value, of its key with `'key'`; of the nearest thing around it when it is not there. */
  readonly where: (path: SettingPath, part?: 'key' | 'value') => string
  /** The letters of an unquoted value as written: `0123`, where YAML read 123. */
  readonly written: (path: SettingPath) => string | undefined
  /** Whether the value came out of a `${…}`. */
  readonly interpolated: (path: SettingPath) => boolean
  readonly faults: readonly ConfigFault[]
}

interface Place {
  readonly key?: number
  readonly value?: number
  readonly written?: string
  readonly interpolated?: boolean
}

/** A file of a few settings; past this it is an alias bomb. */
const NODES_MAX = 100_000
const DEPTH_MAX = 64

/** Reads YAML 1.2 and fills in `${…}` in its values (not in keys). Faults of the file itself come with the values. */
export function readYaml(text: string, name: string, env: Environment): YamlFile {
  const lines = new LineCounter()
  const doc = parseDocument(text, {
    version: '1.2',
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
  })
  const at = (offset: number | undefined): string => {
    if (offset === undefined) return name
    const { line, col } = lines.linePos(offset)
    return `${name}:${line}:${col}`
  }
  const syntax = doc.errors.map((error): ConfigFault => {
    const twice = error.code === 'DUPLICATE_KEY'
    return {
      code: twice ? 'config.duplicate-key' : 'config.syntax',
      message: twice ? 'the same setting twice' : error.message,
      hint: twice
        ? 'Keep one of them.'
        : 'Check indentation and quotes here; values with `: `, ` #`, `{` or `*` in them want quotes.',
      path: '',
      where: at(error.pos[0]),
    }
  })
  const walk = new Walk(doc, env, at)
  const value = syntax.length > 0 ? undefined : walk.read(doc.contents as Node | null, [])
  return {
    value,
    where: (path, part = 'value') => {
      const place = walk.places.get(dotted(path))
      if (place || path.length === 0) return at(place?.[part] ?? place?.value ?? place?.key)
      return at(walk.around(path))
    },
    written: (path) => walk.places.get(dotted(path))?.written,
    interpolated: (path) => walk.places.get(dotted(path))?.interpolated === true,
    faults: [...syntax, ...walk.faults],
  }
}

/** Turns nodes into values, and remembers where they stood. */
class Walk {
  readonly places = new Map<string, Place>()
  readonly faults: ConfigFault[] = []
  #nodes = 0
  readonly #doc: Document
  readonly #env: Environment
  readonly #at: (offset: number | undefined) => string

  constructor(doc: Document, env: Environment, at: (offset: number | undefined) => string) {
    this.#doc = doc
    this.#env = env
    this.#at = at
  }

  read(node: Node | null | undefined, path: SettingPath, key?: number): unknown {
    const start = node?.range?.[0]
    const place = { ...(key === undefined ? {} : { key }), ...(start === undefined ? {} : { value: start }) }
    this.places.set(dotted(path), place)
    if (++this.#nodes > NODES_MAX || path.length > DEPTH_MAX) return this.#tooMuch()
    if (isAlias(node)) return this.read(node.resolve(this.#doc), path, key)
    if (isMap(node)) {
      const entries = (node.items as Pair<Node, Node | null>[]).map((pair) => {
        const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key)
        return [name, this.read(pair.value, [...path, name], pair.key.range?.[0])] as const
      })
      return Object.fromEntries(entries)
    }
    if (isSeq(node)) return (node.items as Node[]).map((item, i) => this.read(item, [...path, i]))
    return isScalar(node) ? this.#scalar(node, path, place) : null
  }

  /** Where the closest thing around a missing setting stands. */
  around(path: SettingPath): number | undefined {
    for (let length = path.length - 1; length >= 0; length--) {
      const place = this.places.get(dotted(path.slice(0, length)))
      if (place) return place.key ?? place.value
    }
    return undefined
  }

  #scalar(node: { value: unknown; source?: string }, path: SettingPath, place: Place): unknown {
    if (typeof node.value !== 'string') {
      if (node.source !== undefined) this.places.set(dotted(path), { ...place, written: node.source })
      return node.value
    }
    if (!node.value.includes('${')) return node.value
    const { text, faults } = interpolate(node.value, this.#env)
    for (const fault of faults)
      this.faults.push({ ...fault, path: dotted(path), where: this.#at(place.value) })
    this.places.set(dotted(path), { ...place, interpolated: true })
    return text
  }

  #tooMuch(): undefined {
    if (this.faults.some(({ code }) => code === 'config.too-large')) return undefined
    this.faults.push({
      code: 'config.too-large',
      message: `more than ${NODES_MAX} values, or nested deeper than ${DEPTH_MAX}`,
      hint: 'Put long lists of series into a file of their own and pass it with --series-file.',
      path: '',
      where: this.#at(undefined),
    })
    return undefined
  }
}
