import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { type OnEvent, silent } from '../model/events.ts'
import { seriesId } from '../model/series.ts'
import { AuditLogger } from './audit.ts'
import { readLoaderConfig } from './config.ts'
import { ConfigError, ParquetLoaderError } from './errors.ts'
import type { Manifest } from './export/manifest.ts'
import { type ExportOptions, exportDataset } from './export.ts'
import type { LoadQuery } from './load/common.ts'
import type { PredictionQuery } from './load/prediction.ts'
import { type LoaderOptions, ParquetDataLoader } from './loader.ts'

/** What a Chronos pipeline takes: one dimension of float32, NaN where a value is not known. */
export type Context = Float32Array

/** Windows cut from one run of values, in time order: `contexts[i]` is followed by `targets[i]`. */
export interface WindowPairs {
  readonly contexts: readonly Context[]
  readonly targets: readonly Context[]
}

/**
 * The lake as Chronos takes it. Without a configuration path it works on arrays of the caller's; with one it loads
 * them from Parquet too.
 */
export class ChronosLoader {
  readonly #loader: ParquetDataLoader | undefined

  /** @throws ConfigError `loader.config` for a path that is not good. */
  constructor(configPath?: string, options: LoaderOptions = {}) {
    this.#loader = configPath === undefined ? undefined : new ParquetDataLoader(configPath, options)
  }

  /** The last `contextLength` values, or all where there are fewer: a pipeline fills up on the left itself. */
  contextOf(values: ArrayLike<number>, contextLength: number): Context {
    return Float32Array.from(
      Array.prototype.slice.call(values, Math.max(0, values.length - contextLength)) as number[],
    )
  }

  /** Every window that fits, `stride` apart; the earlier part of `share` to train on, the rest to validate. */
  windowsOf(
    values: ArrayLike<number>,
    options: {
      readonly contextLength: number
      readonly predictionLength: number
      readonly stride?: number
      /** Of the windows, the share to train on; 0.8 unless said. Windows that reach over the border are left out. */
      readonly share?: number
    },
  ): { readonly train: WindowPairs; readonly validation: WindowPairs } {
    const { contextLength, predictionLength, stride = 1, share = 0.8 } = options
    const all = Float32Array.from(values)
    const border = Math.floor(all.length * share)
    const train: WindowPairs & { contexts: Context[]; targets: Context[] } = { contexts: [], targets: [] }
    const validation: typeof train = { contexts: [], targets: [] }
    for (let cut = contextLength; cut + predictionLength <= all.length; cut += stride) {
      const part = cut + predictionLength <= border ? train : cut >= border ? validation : undefined
      part?.contexts.push(all.subarray(cut - contextLength, cut))
      part?.targets.push(all.subarray(cut, cut + predictionLength))
    }
    return { train, validation }
  }

  /** The bars before a forecast, by column. See `ParquetDataLoader.loadPredictionData`. */
  async loadContext(query: PredictionQuery) {
    const { context, startMs, sessionId } = await this.#parquet().loadPredictionData(query)
    return { contexts: toFloat32(context.columns), startMs, sessionId }
  }

  /** Training and validation arrays, by column. See `ParquetDataLoader.loadTrainingData`. */
  async loadArrays(query: LoadQuery) {
    const { train, validation, sessionId } = await this.#parquet().loadTrainingData(query)
    return { train: toFloat32(train.columns), validation: toFloat32(validation.columns), sessionId }
  }

  async close(): Promise<void> {
    await this.#loader?.close()
  }

  #parquet(): ParquetDataLoader {
    if (this.#loader) return this.#loader
    throw new ConfigError('loader.config', 'loading from Parquet needs a configuration file', {
      hint: 'Give its path to the constructor.',
    })
  }
}

const toFloat32 = (columns: Readonly<Record<string, Float64Array>>): Readonly<Record<string, Context>> =>
  Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, Float32Array.from(values)]))

export interface TrainerOptions {
  /**
   * The training program and its arguments, run without a shell in the data set's folder. `{config}` stands for the
   * path of `train.yaml`; where it does not occur, `--config` and the path are added.
   */
  readonly command?: readonly string[]
  /** Where sessions are logged: the root of this configuration, else the data set's folder. */
  readonly configPath?: string
  /** Every line the program prints, as it comes. */
  readonly onLine?: (line: string) => void
  readonly onEvent?: OnEvent
  readonly nowMs?: () => number
}

export interface TrainingOutcome {
  readonly dataset: Manifest
  /** The command that was run, or is to be run. */
  readonly command: readonly string[]
  /** Whether it was run; false where no command is configured. */
  readonly ran: boolean
  readonly sessionId: string
}

/** Makes a data set for the Chronos training script and runs the script on it. */
export class ChronosTrainer {
  readonly #options: TrainerOptions

  constructor(options: TrainerOptions = {}) {
    this.#options = options
  }

  /**
   * Exports the series in the format `gluonts`, then runs the configured command. Without one nothing is run, and the
   * outcome holds the command that would be.
   *
   * @throws ParquetLoaderError `loader.training-command` where it cannot be started, `loader.training-failed` where it
   *   ends with another code than 0; what `exportDataset` throws; the reason of `signal`, which also ends the program.
   */
  async train(options: Omit<ExportOptions, 'format'>): Promise<TrainingOutcome> {
    const out = resolve(options.out)
    const dataset = await exportDataset({ ...options, format: 'gluonts' })
    const { command: configured, onEvent = silent } = this.#options
    const command = withConfig(configured ?? ['python', 'scripts/training/train.py'], join(out, 'train.yaml'))
    const audit = this.#audit(out)
    const what = options.series.map(seriesId).join(' ')
    const session = await audit.start('training-run', what.slice(0, 60), { dataset: dataset.id, command })
    try {
      if (configured) await this.#run(command, out, (lines) => session.note(lines), options.signal)
      else onEvent({ event: 'chronos_command', command })
      await session.end('completed')
    } catch (error) {
      await session.end('failed', error)
      throw error
    }
    return { dataset, command, ran: configured !== undefined, sessionId: session.id }
  }

  #audit(out: string): AuditLogger {
    const { configPath, nowMs } = this.#options
    if (configPath !== undefined) return new AuditLogger(readLoaderConfig(configPath), nowMs)
    const audit = { enabled: true, log_dir: 'audit_logs', max_log_files: 100 }
    return new AuditLogger({ rootDir: out, audit }, nowMs)
  }

  async #run(
    command: readonly string[],
    cwd: string,
    note: (lines: readonly string[]) => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const [program, ...args] = command
    signal?.throwIfAborted()
    const child = spawn(program!, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], ...(signal && { signal }) })
    const ended = new Promise<number | NodeJS.Signals | Error>((done) => {
      child.once('error', done)
      child.once('close', (code, killedBy) => done(code ?? killedBy ?? 1))
    })
    const last: string[] = []
    const follow = async (stream: NodeJS.ReadableStream) => {
      for await (const line of createInterface({ input: stream })) {
        this.#options.onLine?.(line)
        if (last.push(line) > 100) last.shift()
      }
    }
    await Promise.all([follow(child.stdout), follow(child.stderr)])
    const end = await ended
    await note(last)
    signal?.throwIfAborted()
    if (end !== 0) throw trainingFault(program!, end, last)
  }
}

function withConfig(command: readonly string[], config: string): string[] {
  if (!command.some((part) => part.includes('{config}'))) return [...command, '--config', config]
  return command.map((part) => part.replaceAll('{config}', config))
}

function trainingFault(
  program: string,
  end: number | NodeJS.Signals | Error,
  last: readonly string[],
): ParquetLoaderError {
  if (end instanceof Error) {
    return new ParquetLoaderError('loader.training-command', 'the training program cannot be started', {
      value: program,
      cause: end,
      hint: 'Check the command; it is run without a shell, in the folder of the data set.',
    })
  }
  return new ParquetLoaderError(
    'loader.training-failed',
    `the training program ended with ${end}: ${last.slice(-3).join(' / ')}`,
    {
      value: program,
      hint: 'Its last hundred lines are in the audit log; the data set is whole and need not be made again.',
    },
  )
}
