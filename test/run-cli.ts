import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The built command line; `test/build-once.ts` makes it before the first test. */
const main = fileURLToPath(new URL('../bin/everybar.js', import.meta.url))
/** The same without the process around it. Built code, loaded by Node itself. */
const { runCommandLine } = createRequire(import.meta.url)(
  '../dist/cli/run.js',
) as typeof import('../src/cli/run.ts')

export interface CliResult {
  /** `null` when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** The one envelope of `--json`; throws when stdout is anything else. */
  readonly json: () => Envelope
}

export interface Envelope {
  readonly ok: boolean
  readonly code: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly data?: any
  readonly error?: {
    readonly code: string
    readonly message: string
    readonly hint: string
    readonly path?: string
    readonly faults?: readonly { readonly code: string; readonly path: string; readonly hint: string }[]
  }
  readonly runId: string | null
}

export interface RunOptions {
  readonly cwd?: string
  /** Added to an environment without any of everybar's own variables. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** Called with the running process, to signal it. */
  readonly onSpawn?: (child: ReturnType<typeof spawn>) => void
  /** Another Node or another entry: `[node, 'bin/everybar.js']`. */
  readonly command?: readonly [string, ...string[]]
}

/** Runs the command line as a process of its own, and waits for its end. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<CliResult> {
  const [program, ...first] = options.command ?? [process.execPath, main]
  const child = spawn(program, [...first, ...args], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...cleanEnvironment(), ...options.env },
    stdio: 'pipe',
  })
  const chunks = { stdout: [] as string[], stderr: [] as string[] }
  child.stdout.setEncoding('utf8').on('data', (text: string) => chunks.stdout.push(text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => chunks.stderr.push(text))
  child.stdin.on('error', () => {}) // it need not read
  child.stdin.end(options.stdin ?? '')
  options.onSpawn?.(child)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve(resultOf(code, signal, chunks))
    })
  })
}

/**
 * Runs the command line in this process, which costs a tenth: for whatever is not about processes. It has no standard
 * input, and only what it prints is its own.
 */
export async function runHere(
  args: readonly string[],
  { cwd = tmpdir(), env }: Pick<RunOptions, 'cwd' | 'env'> = {},
): Promise<CliResult> {
  const chunks = { stdout: [] as string[], stderr: [] as string[] }
  const code = await runCommandLine(args, {
    cwd,
    env: { ...cleanEnvironment(), ...env },
    streams: { out: (text) => void chunks.stdout.push(text), err: (text) => void chunks.stderr.push(text) },
    outIsTerminal: false,
    errIsTerminal: false,
    columns: () => 80,
  })
  return resultOf(code, null, chunks)
}

function resultOf(
  code: CliResult['code'],
  signal: CliResult['signal'],
  chunks: { readonly stdout: readonly string[]; readonly stderr: readonly string[] },
): CliResult {
  const stdout = chunks.stdout.join('')
  const json = () => {
    const lines = stdout.split('\n')
    if (lines.length !== 2 || lines[1] !== '') throw new Error(`not one envelope: ${stdout}`)
    return JSON.parse(lines[0]!) as Envelope
  }
  return { code, signal, stdout, stderr: chunks.stderr.join(''), json }
}

function cleanEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(EVERYBAR|CONFIG_PATH$|NO_COLOR$|FORCE_COLOR$|NODE_OPTIONS$|VITEST)/.test(name),
  )
  return Object.fromEntries(entries) as Record<string, string>
}

/** A folder of its own for `body`, gone afterwards. */
export async function inFolder<T>(body: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'everybar-'))
  try {
    return await body(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
