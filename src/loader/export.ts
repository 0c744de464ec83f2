import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { type OnEvent, silent } from '../model/events.ts'
import { holds, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { parseSeries, type Series } from '../model/series.ts'
import { type EpochMs, type TimeRange, timeRange } from '../model/time.ts'
import { ceilToBar } from '../model/timeframe.ts'
import { type Coverage, type MissingRun, requireComplete } from './coverage.ts'
import { DataQualityError } from './errors.ts'
import { featureStart } from './export/feature-rows.ts'
import { writeFuture } from './export/future.ts'
import { GluontsWriter } from './export/gluonts.ts'
import { checkUnchanged, digest, findInput, type SeriesInput, storedRows } from './export/inputs.ts'
import { type Item, itemFrames, makeItem } from './export/item.ts'
import { LongWriter } from './export/long.ts'
import {
  changesOf,
  type Manifest,
  makeManifest,
  manifestText,
  readManifest,
  seriesEntry,
} from './export/manifest.ts'
import {
  canonical,
  type Definition,
  defineExport,
  type ExportSettings,
  featuresOf,
  sha256,
} from './export/options.ts'
import { publish } from './export/publish.ts'
import { FillLog, TimeMap } from './export/sidecars.ts'
import { WindowsWriter } from './export/windows.ts'
import type { FormatWriter, WrittenFile } from './export/writer.ts'
import { Engine } from './read/engine.ts'
import { MissingTracker } from './read/missing.ts'
import type { Slots } from './read/slots.ts'

/** What an export works with, beside what it is to make. */
export interface ExportSurroundings {
  /** The data root: the folder that holds `lake/`. */
  readonly root: string
  /** An empty folder, or one an export has made. */
  readonly out: string
  /** Says why bars are missing. Without it a missing bar is one that nobody can account for. */
  readonly coverage?: Coverage<Series>
  /** When a market is open, in whole sessions or cut to the range; needed by the grid `compact` only. */
  readonly sessions?: (series: Series, range: TimeRange) => RangeSet
  /**
   * Writes below `folder`, under their own paths, month files of a series as they will be when bars that are kept elsewhere
   * are in them, and gives those paths. Without it only what is in the lake's month files is exported.
   */
  readonly folded?: (series: Series, range: TimeRange, folder: string) => Promise<readonly string[]>
  /** What the caller knows the lake to be as of; noted in the manifest, no part of the id. */
  readonly asOfMs?: EpochMs
  readonly memoryLimit?: string
  readonly onEvent?: OnEvent
  readonly signal?: AbortSignal
}

export type ExportOptions = ExportSettings & ExportSurroundings

/**
 * Writes series of the lake as files that the trainers accept, with `dataset.json` beside them. Streams: memory does
 * not grow with the data. The same definition and lake give the same bytes and one id. Until it resolves nothing
 * stands under a final name but what stood there before.
 *
 * @throws ConfigError `loader.bad-export`, `loader.bad-grid`, `loader.out-not-empty`.
 * @throws DataNotFoundError `loader.no-data`. @throws SchemaValidationError `loader.schema`.
 * @throws DataQualityError `loader.incomplete`, `loader.irregular`, `loader.too-short`, `loader.unreadable-file`.
 * @throws ParquetLoaderError `loader.disk-full`, `loader.not-writable`, `loader.input-changed`, `loader.state-locked`.
 */
export async function exportDataset(options: ExportOptions): Promise<Manifest> {
  const { root, out, coverage, sessions, folded, asOfMs, memoryLimit, onEvent, signal, ...settings } = options
  const definition = defineExport(settings)
  const digestOfSessions = sessionsDigest(options, definition)
  return run(options, digestOfSessions ? { ...definition, sessions: digestOfSessions } : definition)
}

/**
 * Makes the data set of a `dataset.json` again, to the same bytes.
 *
 * @throws DataQualityError `loader.lock-changed` naming every input and output that is not what it was; nothing is
 *   left of the new one. @throws ConfigError `loader.bad-lock`, and what `exportDataset` throws.
 */
export async function exportLocked(
  options: ExportSurroundings & { readonly lock: string },
): Promise<Manifest> {
  const locked = readManifest(options.lock)
  return run({ ...options, asOfMs: Date.parse(locked.as_of ?? '') }, locked.definition, (manifest) => {
    const changes = [
      ...changesOf('input', locked.inputs, manifest.inputs),
      ...changesOf('output', locked.outputs, manifest.outputs),
    ]
    if (changes.length === 0) return
    const versions =
      locked.version === manifest.version
        ? ''
        : ` (made by version ${locked.version}, now ${manifest.version})`
    throw new DataQualityError(
      'loader.lock-changed',
      `the data set cannot be made again${versions}: ${changes.join('; ')}`,
      {
        path: options.lock,
        hint: 'The lake has changed since: export again without --locked for a new data set with an id of its own.',
      },
    )
  })
}

async function run(
  options: ExportSurroundings,
  definition: Definition,
  check: (manifest: Manifest) => void = () => {},
): Promise<Manifest> {
  const memoryLimit = options.memoryLimit ?? '1GB'
  // One thread writes: several would hold what they have out of turn, and memory would grow with the file.
  const engines = { read: new Engine({ memoryLimit }), write: new Engine({ memoryLimit, threads: 1 }) }
  let manifest: Manifest | undefined
  try {
    await publish(resolve(options.out), async (folder) => {
      manifest = await build(engines, options, definition, folder)
      check(manifest)
      return { files: manifest.outputs.map((file) => file.path), manifest: manifestText(manifest) }
    })
    return manifest!
  } finally {
    await engines.read.close()
    await engines.write.close()
  }
}

interface Engines {
  readonly read: Engine
  readonly write: Engine
}

async function build(
  engines: Engines,
  options: ExportSurroundings,
  definition: Definition,
  folder: string,
): Promise<Manifest> {
  const { root, onEvent = silent } = options
  const range = rangeOf(definition)
  const inputs: SeriesInput[] = []
  for (const id of definition.series)
    inputs.push(await inputOf(engines.read, options, definition, id, folder))
  const gaps = new Map<string, readonly MissingRun[]>()
  for (const input of inputs) {
    const runs = await missingIn(engines.read, options, input, definition, range)
    if (definition.require === 'complete') requireComplete(input.id, runs)
    gaps.set(input.id, runs)
  }
  const items = inputs.map((input) =>
    makeItem(input, definition, range, sessionsOf(options, definition, input)),
  )
  const written = await writeItems(engines, options, definition, items, folder)
  await checkUnchanged(root, inputs)
  const outputs = []
  for (const { path, rows } of written.files) outputs.push({ ...(await digest(folder, path)), rows })
  for (const warning of written.warnings)
    onEvent({ event: 'loader_export_warning', level: 'warn', message: warning })
  return makeManifest({
    definition,
    inputs: inputs.flatMap(({ files }) => files.map(({ path, bytes, sha256 }) => ({ path, bytes, sha256 }))),
    outputs,
    series: items.map((item) => seriesEntry(item, gaps.get(item.id)!, written.lastMs.get(item.id))),
    warnings: written.warnings,
    version: ownVersion(),
    asOfMs: Number.isFinite(options.asOfMs) ? options.asOfMs : undefined,
  })
}

async function inputOf(
  engine: Engine,
  options: ExportSurroundings,
  definition: Definition,
  id: string,
  folder: string,
): Promise<SeriesInput> {
  const series = parseSeries(id)
  const whole = reachOf(options, definition, series)
  // Below the folder of the parts, with which they go.
  const copies = join(folder, '.inputs')
  // First: what is folded into a month file meanwhile is then there twice, never missed.
  const paths = (await options.folded?.(series, whole, copies)) ?? []
  const places = { root: options.root, copies: { folder: copies, paths } }
  return findInput(engine, places, series, rangeOf(definition), whole.startMs)
}

/**
 * When the market is open, with the grid `compact`; from where features look back to. Bars of a session are counted from
 * its opening bell, but one that begins where it was asked from may have been cut there: that is no bell, and its bars
 * are counted as most stored ones are.
 */
function sessionsOf(
  options: ExportSurroundings,
  definition: Definition,
  { series, anchorMs }: SeriesInput,
): RangeSet | undefined {
  if (definition.grid !== 'compact') return undefined
  const whole = reachOf(options, definition, series)
  const cutAtMs = ceilToBar(series.timeframe, whole.startMs, anchorMs)
  const known = options.sessions?.(series, whole)
  return (
    known &&
    toRangeSet(known.map((one) => (one.startMs === whole.startMs ? { ...one, startMs: cutAtMs } : one)))
  )
}

/** The range with what its features look back to. */
function reachOf({ sessions }: ExportSurroundings, definition: Definition, series: Series): TimeRange {
  const range = rangeOf(definition)
  const open = definition.grid === 'compact' ? sessions : undefined
  const startMs = featureStart(
    series.timeframe,
    range,
    featuresOf(definition),
    open && ((part) => open(series, part)),
  )
  return { startMs, endMs: range.endMs }
}

const rangeOf = ({ from, to }: Definition): TimeRange => timeRange(Date.parse(from), Date.parse(to))

/** Why bars of a series are missing, by the coverage; of those it does not speak of, that they are. */
async function missingIn(
  engine: Engine,
  options: ExportSurroundings,
  input: SeriesInput,
  definition: Definition,
  range: TimeRange,
): Promise<readonly MissingRun[]> {
  const { slots } = makeItem(
    input,
    { ...definition, leading: 'keep' },
    range,
    sessionsOf(options, definition, input),
  )
  const tracker = new MissingTracker(slots)
  for await (const frame of storedRows(engine, input, [], range))
    for (const ms of frame.timeMs) tracker.saw(ms)
  const lacking = tracker.end()
  const { coverage } = options
  return coverage ? accounted(lacking, await coverage(input.series, range), slots) : lacking
}

/** What the coverage says, and what the lake lacks without the coverage saying anything. */
function accounted(
  lacking: readonly MissingRun[],
  known: readonly MissingRun[],
  slots: Slots,
): readonly MissingRun[] {
  const open = subtract(
    toRangeSet(lacking.map((run) => run.range)),
    toRangeSet(known.map((run) => run.range)),
  )
  if (open.length === 0) return known
  const tracker = new MissingTracker(slots)
  for (let ms = slots.firstMs; ms < slots.endMs; ms = slots.next(ms)) if (!holds(open, ms)) tracker.saw(ms)
  return [...known, ...tracker.end()].sort((a, b) => a.range.startMs - b.range.startMs)
}

interface Written {
  readonly files: readonly WrittenFile[]
  readonly warnings: readonly string[]
  /** The last row's time, by item. */
  readonly lastMs: ReadonlyMap<string, EpochMs>
}

async function writeItems(
  { read, write }: Engines,
  { onEvent = silent, signal }: ExportSurroundings,
  definition: Definition,
  items: readonly Item[],
  folder: string,
): Promise<Written> {
  const range = rangeOf(definition)
  const lastMs = new Map<string, EpochMs>()
  if (definition.format === 'future') {
    return { files: [await writeFuture(write, folder, definition, items)], warnings: [], lastMs }
  }
  const writer = writerOf(write, folder, definition, items)
  const fills = new FillLog(write, folder, definition)
  const map = new TimeMap(write, folder)
  const total = items.reduce((sum, item) => sum + item.slots.count, 0)
  let done = 0
  try {
    for (const item of items) {
      for await (const frame of itemFrames(read, item, definition, range)) {
        signal?.throwIfAborted()
        await writer.write(item, frame)
        await fills.write(item, frame)
        await map.write(item, frame)
        lastMs.set(item.id, frame.timeMs.at(-1)!)
        done += frame.length
        onEvent({ event: 'progress', phase: 'export', done, total, series: item.id })
      }
      await writer.endItem(item)
      await fills.endItem(item)
    }
    const { files, warnings } = await writer.close()
    return { files: [...files, ...(await fills.close()), ...(await map.close())], warnings, lastMs }
  } finally {
    await writer.abandon()
  }
}

function writerOf(
  engine: Engine,
  folder: string,
  definition: Definition,
  items: readonly Item[],
): FormatWriter {
  switch (definition.format) {
    case 'long':
    case 'csv':
      return new LongWriter(engine, folder, definition, items)
    case 'gluonts':
      return new GluontsWriter(folder, definition, items)
    case 'windows':
      return new WindowsWriter(engine, folder, definition)
    case 'future':
      throw new TypeError('future frames have no rows of the lake')
    default:
      return definition.format satisfies never
  }
}

/** Names the sessions a data set is made by, those its features look back over with them. */
function sessionsDigest(options: ExportSurroundings, definition: Definition): string | undefined {
  if (definition.grid !== 'compact') return undefined
  const all = definition.series.map((id) => {
    const series = parseSeries(id)
    return [id, options.sessions?.(series, reachOf(options, definition, series)) ?? []] as const
  })
  return sha256(canonical(all)).slice(0, 32)
}

/** Of this package, for the manifest. */
function ownVersion(): string {
  const own = createRequire(import.meta.url)('../../package.json') as { version: string }
  return own.version
}
