import { globalRegistry, type z } from 'zod'
import { nearest } from '../model/nearest.ts'
import { variableOf } from './env.ts'
import { type ConfigFault, dotted, type SettingPath } from './faults.ts'
import { keysAt, layersOf, type Shape, shapeAt } from './shape.ts'

type Issue = z.core.$ZodIssue

/** Where a setting came from, for messages and hints. */
export interface Origins {
  readonly where: (path: SettingPath, part?: 'key' | 'value') => string
  readonly written: (path: SettingPath) => string | undefined
}

/** The schema's issues as faults a person can act on: one each, with its place, and a hint. */
export function faultsOf(
  issues: readonly Issue[],
  schema: Shape,
  input: unknown,
  origins: Origins,
): readonly ConfigFault[] {
  const faults: (ConfigFault & { readonly meant?: string | undefined })[] = []
  const visit = (issue: Issue, base: SettingPath): void => {
    const path = [...base, ...(issue.path as (string | number)[])]
    if (issue.code === 'invalid_union') {
      for (const inner of fittingBranch(issue.errors, valueAt(input, path))) visit(inner, path)
      return
    }
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) faults.push(unknownKey(schema, path, key, origins))
      return
    }
    faults.push(badValue(issue, schema, path, valueAt(input, path), origins))
  }
  for (const issue of issues) visit(issue, [])
  // "venu" is one slip, not an unknown setting and a missing one.
  const misspelt = new Set(
    faults.flatMap(({ path, meant }) => (meant ? [path.replace(/[^.]*$/, meant)] : [])),
  )
  return faults
    .filter(({ code, path }) => code !== 'config.missing' || !misspelt.has(path))
    .map(({ meant: _, ...fault }) => fault)
}

/** The alternative the value was meant for: the one that does not refuse it for its type alone. */
function fittingBranch(branches: readonly (readonly Issue[])[], value: unknown): readonly Issue[] {
  const fits = branches.find(
    (issues) => !issues.some((one) => one.code === 'invalid_type' && one.path.length === 0),
  )
  return (
    fits ??
    branches.find((issues) => issues[0]?.code === 'invalid_type' && typeof value !== 'object') ??
    branches[0] ??
    []
  )
}

function unknownKey(schema: Shape, path: SettingPath, key: string, { where }: Origins) {
  const known = keysAt(schema, path)
  const meant = nearest(key, known)
  const full = [...path, key]
  return {
    code: 'config.unknown-key',
    message: 'unknown setting',
    hint: meant ? `did you mean "${meant}"?` : `known here: ${known.join(', ')}`,
    path: dotted(full),
    where: where(full, 'key'),
    meant,
  }
}

function badValue(
  issue: Issue,
  schema: Shape,
  path: SettingPath,
  value: unknown,
  origins: Origins,
): ConfigFault {
  const found = isSecret(schema, path) ? 'another value' : describe(value)
  const place = { path: dotted(path), where: origins.where(path) }
  if (issue.code === 'invalid_type' && value === undefined) {
    const code = 'config.missing'
    return { code, message: `missing: expected ${noun(issue.expected)}`, hint: addHint(path), ...place }
  }
  if (issue.code === 'invalid_type') {
    const written = origins.written(path)
    const unquoted = issue.expected === 'string' && written !== undefined
    const hint = unquoted
      ? `YAML reads an unquoted ${written} as ${describe(value)}; quote it: "${written}"`
      : `Give ${noun(issue.expected)}.`
    return {
      code: 'config.wrong-type',
      message: `expected ${noun(issue.expected)}, found ${found}`,
      hint,
      ...place,
    }
  }
  const refused = isSecret(schema, path) ? 'what is given' : found
  return { code: 'config.bad-value', ...refusal(issue, value, refused), ...place }
}

/** Where a setting can be given: also by a variable, unless it is in a list. */
const addHint = (path: readonly PropertyKey[]): string =>
  path.every((key) => typeof key === 'string') && path.length > 0
    ? `Add it to the file, or set ${variableOf(path as readonly string[])}.`
    : 'Add it.'

/** Message and hint for a value of the right type that the schema refuses. */
function refusal(issue: Issue, value: unknown, found: string): Pick<ConfigFault, 'message' | 'hint'> {
  switch (issue.code) {
    case 'invalid_value': {
      const known = issue.values.map(String)
      const meant = typeof value === 'string' ? nearest(value, known) : undefined
      return {
        message: `expected ${known.join(' or ')}, found ${found}`,
        hint: meant ? `did you mean "${meant}"?` : `Choose one of ${known.join(', ')}.`,
      }
    }
    case 'too_small': {
      const least = `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${size(issue.origin, issue.minimum)}`
      const few = size(issue.origin, 0) === '' ? 'too little' : 'too short'
      return { message: `${found} is ${few}`, hint: `It has to be ${least}.` }
    }
    case 'too_big': {
      const most = `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${size(issue.origin, issue.maximum)}`
      const many = size(issue.origin, 0) === '' ? 'too much' : 'too long'
      return { message: `${found} is ${many}`, hint: `It has to be ${most}.` }
    }
    default: {
      const hint =
        'params' in issue && typeof issue.params?.hint === 'string' ? issue.params.hint : issue.message
      return { message: `${found} does not fit${hint === issue.message ? '' : `: ${issue.message}`}`, hint }
    }
  }
}

/** What a size counts, after the number; nothing for the size of a number itself. */
function size(origin: string, count: number | bigint): string {
  const one = Number(count) === 1
  if (origin === 'string') return one ? ' character' : ' characters'
  if (origin === 'array') return one ? ' entry' : ' entries'
  return ''
}

const nouns: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'settings (key: value)',
  array: 'a list',
}
const noun = (expected: string): string => nouns[expected] ?? expected

function describe(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'settings'
  // Nobody's password belongs on a screen, least of all in a refusal.
  const shown = typeof value === 'string' ? value.replace(/\/\/[^/?#]*@/, '//[redacted]@') : value
  const text = typeof shown === 'string' ? JSON.stringify(shown) : String(shown)
  const kind = typeof value === 'number' ? 'the number ' : ''
  return kind + (text.length > 80 ? `${text.slice(0, 79)}…` : text)
}

/** Whether the schema marks the setting as secret, itself or behind a default or an alternative. */
export function isSecret(schema: Shape, path: SettingPath): boolean {
  const shape = shapeAt(schema, path)
  return shape !== undefined && layersOf(shape).some((layer) => globalRegistry.get(layer)?.writeOnly === true)
}

function valueAt(input: unknown, path: SettingPath): unknown {
  let value = input
  for (const key of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string | number, unknown>)[key]
  }
  return value
}
