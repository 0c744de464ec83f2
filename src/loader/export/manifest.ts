import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { type EpochMs, iso } from '../../model/time.ts'
import { byClass, isSettled, type MissingRun } from '../coverage.ts'
import { ConfigError } from '../errors.ts'
import type { FileDigest } from './inputs.ts'
import type { Item } from './item.ts'
import { canonical, type Definition, definitionHash, parseDefinition, sha256 } from './options.ts'

const digestSchema = z.object({ path: z.string(), bytes: z.number(), sha256: z.string() })
const outputSchema = digestSchema.extend({ rows: z.number() })

const manifestSchema = z.object({
  everybar: z.literal(1),
  version: z.string(),
  id: z.string(),
  definition_hash: z.string(),
  as_of: z.string().nullable(),
  definition: z.unknown(),
  inputs: z.array(digestSchema),
  outputs: z.array(outputSchema),
  series: z.array(z.record(z.string(), z.unknown())),
  warnings: z.array(z.string()),
})

/** `dataset.json`: what a data set is, what it was made of, and what came out. */
export type Manifest = Readonly<Omit<z.output<typeof manifestSchema>, 'definition' | 'series'>> & {
  readonly definition: Definition
  readonly series: readonly ManifestSeries[]
}

export interface ManifestSeries {
  readonly item_id: string
  /** Rows of the grid, and the times of the first and the last. */
  readonly rows: number
  readonly first: string | null
  readonly last: string | null
  /** Rows without a stored bar. */
  readonly missing: number
  /** Stored bars that open between two rows: left out. */
  readonly off_grid: number
  /** Values made by the fill policy, by column; `fills.parquet` says which. */
  readonly filled: Readonly<Record<string, number>>
  /** Missing bars of the whole range by class, as far as anyone can say. */
  readonly gaps: Readonly<Record<string, number>>
  /** No bar is missing that may yet turn up. */
  readonly complete: boolean
}

export function seriesEntry(
  item: Item,
  runs: readonly MissingRun[],
  lastMs: EpochMs | undefined,
): ManifestSeries {
  return {
    item_id: item.id,
    rows: item.slots.count,
    first: item.slots.count > 0 ? iso(item.stamp?.(item.slots.firstMs, 0) ?? item.slots.firstMs) : null,
    last: lastMs === undefined ? null : iso(lastMs),
    missing: item.counts.missing,
    off_grid: item.counts.offGrid,
    filled: item.filled,
    gaps: byClass(runs),
    complete: runs.every(isSettled),
  }
}

/** Names a data set by its definition and the bytes it was made of: equal ids, equal files. */
export const datasetId = (definition: Definition, inputs: readonly FileDigest[]): string =>
  sha256(canonical({ definition, inputs: inputs.map(({ path, sha256: sum }) => [path, sum]) })).slice(0, 32)

export function makeManifest(parts: {
  readonly definition: Definition
  readonly inputs: readonly FileDigest[]
  readonly outputs: readonly (FileDigest & { readonly rows: number })[]
  readonly series: readonly ManifestSeries[]
  readonly warnings: readonly string[]
  readonly version: string
  readonly asOfMs: EpochMs | undefined
}): Manifest {
  const { definition, inputs, outputs, series, warnings, version, asOfMs } = parts
  return {
    everybar: 1,
    version,
    id: datasetId(definition, inputs),
    definition_hash: definitionHash(definition),
    as_of: asOfMs === undefined ? null : iso(asOfMs),
    definition,
    inputs: [...inputs],
    outputs: [...outputs].sort((a, b) => (a.path < b.path ? -1 : 1)),
    series,
    warnings: [...warnings],
  }
}

export const manifestText = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 2)}\n`

/** @throws ConfigError `loader.bad-lock` for a file that is not there, or is no data set's. */
export function readManifest(path: string): Manifest {
  const fault = (message: string, cause?: unknown) =>
    new ConfigError('loader.bad-lock', message, {
      path,
      ...(cause === undefined ? {} : { cause }),
      hint: 'Name the dataset.json of an export of this version of everybar.',
    })
  let data: unknown
  try {
    data = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw fault('the data set’s lock cannot be read', cause)
  }
  const parsed = manifestSchema.safeParse(data)
  if (!parsed.success) throw fault('the file is not a data set’s lock')
  try {
    const definition = parseDefinition(parsed.data.definition)
    return { ...parsed.data, definition, series: parsed.data.series as unknown as ManifestSeries[] }
  } catch (cause) {
    throw fault('the lock’s definition cannot be read', cause)
  }
}

/** What differs between two lists of files, a line each; empty when they are the same. */
export function changesOf(what: string, before: readonly FileDigest[], now: readonly FileDigest[]): string[] {
  const sums = new Map(now.map((file) => [file.path, file.sha256]))
  const known = new Set(before.map((file) => file.path))
  return [
    ...before.flatMap(({ path, sha256: sum }) =>
      !sums.has(path)
        ? [`${what} ${path} is gone`]
        : sums.get(path) === sum
          ? []
          : [`${what} ${path} has changed`],
    ),
    ...now.filter((file) => !known.has(file.path)).map((file) => `${what} ${file.path} is new`),
  ]
}
