import { readFileSync, statSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { messageOf } from '../model/errors.ts'
import { faultsOf } from './check.ts'
import { type Override, overridesFrom } from './env.ts'
import { ConfigError, type ConfigFault, dotted, type SettingPath } from './faults.ts'
import type { Environment } from './interpolate.ts'
import { type Config, configSchema } from './schema.ts'
import { coerce, kindsOf, type Shape, shapeAt } from './shape.ts'
import { readYaml, type YamlFile } from './yaml.ts'

export interface LoadOptions {
  /** The file named by a flag. Without one: `EVERYBAR_CONFIG`, `CONFIG_PATH`, then `everybar.yaml` if it is there. */
  readonly file?: string | undefined
  readonly cwd: string
  readonly home: string
  readonly env: Environment
  /** Settings from flags; they win over everything. */
  readonly flags?: {
    readonly root?: string | undefined
    readonly settings?: readonly FlagSetting[]
  }
}

/** A setting a flag names: its text is read as the schema wants it there. */
export interface FlagSetting {
  readonly path: readonly string[]
  readonly text: string
  /** The flag. */
  readonly where: string
}

export interface LoadedConfig {
  readonly config: Config
  /** Absolute; `undefined` when there is no file and the defaults serve. */
  readonly file: string | undefined
}

/** A configuration is a page or two; past this it is another file. */
const BYTES_MAX = 4 * 1024 * 1024

/**
 * Reads the configuration, whole or not at all: flags over environment over file over defaults. `root` comes back
 * absolute: `~` is `home`; a relative one counts from the file that says it, else from `cwd`. Frozen.
 *
 * @throws ConfigError with every fault at once (abort): `config.not-found`, `config.not-readable`, `config.syntax`,
 *   `config.duplicate-key`, `config.unknown-key`, `config.wrong-type`, `config.bad-value`, `config.missing`,
 *   `config.unset-variable`, `config.bad-reference`, `config.unknown-variable`, `config.too-large`.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const file = findFile(options)
  const yaml = file === undefined ? undefined : readYaml(readText(file), basename(file), options.env)
  const fromEnv = overridesFrom(configSchema, options.env, yaml?.value)
  const overrides = [...fromEnv.overrides, ...flagOverrides(options)]
  const name = file === undefined ? 'the environment' : basename(file)
  const syntax = [...(yaml?.faults ?? []), ...fromEnv.faults]
  if (yaml && yaml.value === undefined) throw new ConfigError(syntax, name)

  const input = withOverrides(prepared(yaml), overrides)
  const result = configSchema.safeParse(input)
  const whole = result.success
    ? []
    : faultsOf(result.error.issues, configSchema, input, origins(yaml, overrides, name))
  // A value that could not be filled in is reported once, for that reason alone.
  const faults = [
    ...syntax,
    ...whole.filter(({ path }) => !syntax.some((fault) => fault.path === path && path !== '')),
  ]
  if (faults.length > 0 || !result.success) throw new ConfigError(inOrder(faults), name)

  const root = resolveRoot(result.data.root, file, overrides, options)
  return { config: deepFreeze({ ...result.data, root }), file }
}

function findFile({ file, cwd, env }: LoadOptions): string | undefined {
  const named = file ?? (env.EVERYBAR_CONFIG || env.CONFIG_PATH || undefined)
  if (named !== undefined) return resolve(cwd, named)
  const usual = resolve(cwd, 'everybar.yaml')
  return statSync(usual, { throwIfNoEntry: false })?.isFile() ? usual : undefined
}

function readText(file: string): string {
  const refuse = (code: string, message: string, hint: string): ConfigError =>
    new ConfigError([{ code, message, hint, path: '', where: file }], file)
  const stat = statSync(file, { throwIfNoEntry: false })
  if (!stat)
    throw refuse('config.not-found', 'no such file', 'Run `everybar init` to write one, or mend the path.')
  if (!stat.isFile()) throw refuse('config.not-readable', 'not a file', 'Name the YAML file itself.')
  if (stat.size > BYTES_MAX) throw refuse('config.too-large', `${stat.size} bytes`, 'Is this the right file?')
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (cause) {
    throw refuse('config.not-readable', messageOf(cause), 'It has to be readable UTF-8 text.')
  }
}

function flagOverrides({ flags }: LoadOptions): readonly Override[] {
  const root = flags?.root === undefined ? [] : [{ path: ['root'], value: flags.root, where: '--root' }]
  const settings = (flags?.settings ?? []).map(({ path, text, where }) => {
    const shape = shapeAt(configSchema, path)
    return { path, value: shape ? coerce(shape, text) : text, where }
  })
  return [...root, ...settings]
}

/**
 * The file's values as the schema wants to see them. Text that came out of `${…}` takes the type its place wants:
 * `concurrency: ${JOBS}` is a number. A section with nothing in it, say because all of it is commented out, is not there.
 */
function prepared(yaml: YamlFile | undefined): unknown {
  const visit = (value: unknown, path: SettingPath): unknown => {
    if (Array.isArray(value)) return value.map((item, i) => visit(item, [...path, i]))
    if (value !== null && typeof value === 'object') {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]),
      )
    }
    const shape = shapeAt(configSchema, path)
    if (!shape) return value
    if (value === null) return isSection(shape) ? undefined : null
    return typeof value === 'string' && yaml?.interpolated(path) ? coerce(shape, value) : value
  }
  return visit(yaml?.value ?? {}, []) ?? {}
}

function isSection(shape: Shape): boolean {
  const kinds = kindsOf(shape)
  return !kinds.has('string') && (kinds.has('object') || kinds.has('array'))
}

function withOverrides(input: unknown, overrides: readonly Override[]): unknown {
  return overrides.reduce((value, override) => set(value, override.path, override.value), input)
}

function set(target: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  // What is there may be anything; where it is no object the schema will say so, unless it is replaced altogether.
  const base = target !== null && typeof target === 'object' && !Array.isArray(target) ? target : {}
  const child = Object.hasOwn(base, key) ? (base as Record<string, unknown>)[key] : undefined
  return { ...base, [key]: set(child, rest, value) }
}

function origins(yaml: YamlFile | undefined, overrides: readonly Override[], name: string) {
  const overriding = (path: SettingPath) =>
    overrides.findLast(
      (one) => dotted(path) === dotted(one.path) || dotted(path).startsWith(`${dotted(one.path)}.`),
    )
  return {
    where: (path: SettingPath, part?: 'key' | 'value') =>
      overriding(path)?.where ?? yaml?.where(path, part) ?? name,
    written: (path: SettingPath) => (overriding(path) ? undefined : yaml?.written(path)),
  }
}

/** By line and column; what has none comes last, as it came. */
function inOrder(faults: readonly ConfigFault[]): readonly ConfigFault[] {
  const key = ({ where }: ConfigFault): number => {
    const match = /:(\d+):(\d+)$/.exec(where)
    return match ? Number(match[1]) * 100_000 + Number(match[2]) : Number.POSITIVE_INFINITY
  }
  return faults.toSorted((a, b) => (key(a) === key(b) ? 0 : key(a) - key(b)))
}

function resolveRoot(
  root: string,
  file: string | undefined,
  overrides: readonly Override[],
  options: LoadOptions,
) {
  if (root === '~' || root.startsWith('~/')) return resolve(options.home, root.slice(2))
  const overridden = overrides.some(({ path }) => dotted(path) === 'root')
  return resolve(file !== undefined && !overridden ? dirname(file) : options.cwd, root)
}

function deepFreeze<T>(value: T): T {
  if (value !== null && typeof value === 'object') {
    for (const item of Object.values(value)) deepFreeze(item)
    Object.freeze(value)
  }
  return value
}
