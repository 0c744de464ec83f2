import { nearest } from '../model/nearest.ts'
import type { ConfigFault } from './faults.ts'
import type { Environment } from './interpolate.ts'
import { coerce, keysAt, kindsOf, leavesOf, type Shape, shapeAt } from './shape.ts'

/** A setting that does not come from the file. */
export interface Override {
  readonly path: readonly string[]
  readonly value: unknown
  /** The variable or flag that set it. */
  readonly where: string
}

const PREFIX = 'EVERYBAR__'

/** Variables with names of their own. They win over the long form, and an empty one is none. */
const ownNames: readonly (readonly [name: string, path: readonly string[]])[] = [
  ['EVERYBAR_DATA_ROOT', ['root']],
  ['EVERYBAR_TOKEN', ['serve', 'token']],
  ['EVERYBAR_KITE_API_KEY', ['sources', 'kite', 'api_key']],
  ['EVERYBAR_KITE_API_SECRET', ['sources', 'kite', 'api_secret']],
  ['EVERYBAR_KITE_ACCESS_TOKEN', ['sources', 'kite', 'access_token']],
]

/** The variable that sets a setting. */
export const variableOf = (path: readonly string[]): string => PREFIX + path.join('__').toUpperCase()

/**
 * `EVERYBAR__SOURCES__BINANCE__BASE_URL` sets `sources.binance.base_url`: two underscores between keys, letters of
 * either case, the value read as the schema wants it there (lists by commas). `EVERYBAR_DATA_ROOT` sets `root` and wins
 * over `EVERYBAR__ROOT`; `EVERYBAR_TOKEN` sets `serve.token`; `EVERYBAR_KITE_API_KEY`, `…_API_SECRET` and `…_ACCESS_TOKEN` set the login. `LOKI_URL`,
 * `SERVICE_NAME`, `BQ_DATASET` and the like are read as well. A variable with the prefix that names no setting is a fault.
 */
export function overridesFrom(
  schema: Shape,
  env: Environment,
  file: unknown = {},
): { readonly overrides: readonly Override[]; readonly faults: readonly ConfigFault[] } {
  const overrides: Override[] = [...knownByName(schema, env, file)]
  const faults: ConfigFault[] = []
  for (const name of Object.keys(env).sort()) {
    const text = env[name]
    if (text === undefined || !name.toUpperCase().startsWith(PREFIX)) continue
    const path = settingNamed(schema, name.slice(PREFIX.length).split('__'))
    const shape = path && shapeAt(schema, path)
    if (path && shape && !kindsOf(shape).has('object'))
      overrides.push({ path, value: coerce(shape, text), where: name })
    else faults.push(unknownVariable(schema, name))
  }
  for (const [name, path] of ownNames) {
    const value = env[name]
    if (value !== undefined && value !== '') overrides.push({ path, value, where: name })
  }
  return { overrides, faults }
}

interface KnownVariable {
  readonly path: readonly string[]
  /** Only where that section is configured already: the name alone says too little. */
  readonly within?: readonly string[]
}

const loki = ['logs', 'loki']
const bigquery = ['stores', 'bigquery']

/** Variables under the names collectors use; those with the prefix win over them. */
const knownVariables: Readonly<Record<string, KnownVariable>> = {
  LOKI_ENDPOINT: { path: [...loki, 'url'] },
  LOKI_URL: { path: [...loki, 'url'] },
  LOKI_USERNAME: { path: [...loki, 'username'], within: loki },
  LOKI_PASSWORD: { path: [...loki, 'password'], within: loki },
  SERVICE_NAME: { path: ['logs', 'service_name'] },
  ENVIRONMENT: { path: ['logs', 'environment'] },
  BQ_DATASET: { path: [...bigquery, 'dataset'], within: bigquery },
  BQ_TABLE: { path: [...bigquery, 'table'], within: bigquery },
}

function knownByName(schema: Shape, env: Environment, file: unknown): Override[] {
  const sectionSet = (section: readonly string[]) => {
    const prefix = `${variableOf(section)}__`
    const own = `${section.join('.')}.`
    return (
      isSection(file, section) ||
      Object.keys(env).some((name) => name.toUpperCase().startsWith(prefix)) ||
      Object.entries(knownVariables).some(
        ([name, { path, within }]) => !within && env[name] && path.join('.').startsWith(own),
      )
    )
  }
  return Object.entries(knownVariables).flatMap(([where, { path, within }]) => {
    const text = env[where]
    const shape = shapeAt(schema, path)
    if (text === undefined || text === '' || !shape || (within && !sectionSet(within))) return []
    return [{ path, value: coerce(shape, text), where }]
  })
}

function isSection(file: unknown, path: readonly string[]): boolean {
  let value = file
  for (const key of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, key)) return false
    value = (value as Record<string, unknown>)[key]
  }
  return value !== null && typeof value === 'object'
}

/** The path as the schema spells it. */
function settingNamed(schema: Shape, words: readonly string[]): readonly string[] | undefined {
  const path: string[] = []
  for (const word of words) {
    const key = keysAt(schema, path).find((known) => known.toLowerCase() === word.toLowerCase())
    if (key === undefined) return undefined
    path.push(key)
  }
  return path
}

function unknownVariable(schema: Shape, name: string): ConfigFault {
  const meant = name.length > PREFIX.length ? nearest(name, leavesOf(schema).map(variableOf)) : undefined
  return {
    code: 'config.unknown-variable',
    message: 'names no setting that a variable can set',
    hint: meant
      ? `did you mean ${meant}?`
      : `Unset it, or write ${PREFIX}, then the keys with __ between them.`,
    path: name,
    where: 'environment',
  }
}
