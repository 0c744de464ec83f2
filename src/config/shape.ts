import type { z } from 'zod'

/** Any part of the schema. */
export type Shape = z.core.$ZodType

interface Definition {
  readonly type: string
  readonly innerType?: Shape
  readonly in?: Shape
  readonly element?: Shape
  readonly options?: readonly Shape[]
  readonly shape?: Readonly<Record<string, Shape>>
}

const definition = (shape: Shape): Definition => shape._zod.def as unknown as Definition

/** The shape behind defaults, optionals and transforms. */
function bare(shape: Shape): Shape {
  const { innerType, in: input } = definition(shape)
  const next = innerType ?? input
  return next ? bare(next) : shape
}

/** The shape and everything it wraps, down to its alternatives, where descriptions and marks may sit. */
export function layersOf(shape: Shape): readonly Shape[] {
  const { innerType, in: input, options = [] } = definition(shape)
  return [shape, ...[innerType, input, ...options].flatMap((inner) => (inner ? layersOf(inner) : []))]
}

const alternatives = (shape: Shape): readonly Shape[] => {
  const inner = bare(shape)
  return definition(inner).options?.flatMap(alternatives) ?? [inner]
}

/** The keys an object may have at `path`, as the schema spells them; none where there is no object. */
export function keysAt(shape: Shape, path: readonly (string | number)[]): readonly string[] {
  const found = shapeAt(shape, path)
  return found ? alternatives(found).flatMap((one) => Object.keys(definition(one).shape ?? {})) : []
}

/** The part of the schema that `path` leads to. */
export function shapeAt(shape: Shape, path: readonly (string | number)[]): Shape | undefined {
  const [key, ...rest] = path
  if (key === undefined) return shape
  for (const one of alternatives(shape)) {
    const { element, shape: fields } = definition(one)
    const child =
      typeof key === 'number' ? element : fields && Object.hasOwn(fields, key) ? fields[key] : undefined
    const found = child && shapeAt(child, rest)
    if (found) return found
  }
  return undefined
}

/** What kinds of value fit at `shape`: `string`, `number`, `boolean`, `array`, `object` … */
export const kindsOf = (shape: Shape): ReadonlySet<string> =>
  new Set(
    alternatives(shape).map(
      (one) => ({ enum: 'string', int: 'number' })[definition(one).type] ?? definition(one).type,
    ),
  )

/**
 * Text from the environment as the value the schema wants there: numbers and booleans are read, lists are split at
 * commas. Text that does not fit stays text, so that the schema refuses it by name.
 */
export function coerce(shape: Shape, text: string): unknown {
  const kinds = kindsOf(shape)
  if (kinds.has('array'))
    return text
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
  if (kinds.has('string')) return text
  const word = text.trim()
  if (kinds.has('boolean') && /^(true|false)$/i.test(word)) return word.toLowerCase() === 'true'
  if (kinds.has('number') && /^[-+]?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(word)) return Number(word)
  return text
}

/** Every setting that holds one value, dotted, in the schema's order; lists included, what is in them not. */
export function leavesOf(shape: Shape, path: readonly string[] = []): readonly (readonly string[])[] {
  return alternatives(shape).flatMap((one) => {
    const fields = definition(one).shape
    return fields ? Object.entries(fields).flatMap(([key, child]) => leavesOf(child, [...path, key])) : [path]
  })
}
