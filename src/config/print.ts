import { Document } from 'yaml'
import { z } from 'zod'
import { isSecret } from './check.ts'
import type { SettingPath } from './faults.ts'
import { type Config, configSchema } from './schema.ts'
import type { Shape } from './shape.ts'

export const REDACTED = '[redacted]'

/** A copy without what the schema marks as secret. */
export function redactConfig<T>(config: T, schema: Shape = configSchema): T {
  const visit = (value: unknown, path: SettingPath): unknown => {
    if (path.length > 0 && value !== undefined && isSecret(schema, path)) return REDACTED
    if (Array.isArray(value)) return value.map((item, i) => visit(item, [...path, i]))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])]))
  }
  return visit(config, []) as T
}

/** The resolved configuration as YAML, secrets redacted. Reading it back gives the same configuration. */
export const configYaml = (config: Config): string => new Document(redactConfig(config)).toString()

/** What editors check `everybar.yaml` against: JSON Schema 2020-12. */
export function configJsonSchema(): Readonly<Record<string, unknown>> {
  const { $schema, ...schema } = z.toJSONSchema(configSchema, { io: 'input' })
  return {
    $schema,
    title: 'everybar configuration',
    description: 'everybar.yaml. Values may hold ${NAME}, ${NAME:-default} and ${NAME:?message}.',
    ...schema,
  }
}
