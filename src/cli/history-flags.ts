import type { Command } from 'commander'
import { EverybarError } from '../model/errors.ts'
import type { Cli } from './cli.ts'
import type { SelectionOptions } from './selection.ts'

/** A collector's flags of `sync`: other names for what the configuration and `--from`, `--to` say. */
export interface HistoryOptions extends SelectionOptions {
  readonly mode?: string
  readonly start?: string
  readonly end?: string
  readonly [setting: string]: unknown
}

/** Flag, the setting it wins over, and its help. */
const settings = [
  ['--dataset <name>', ['stores', 'bigquery', 'dataset'], 'BigQuery dataset'],
  ['--table <name>', ['stores', 'bigquery', 'table'], 'BigQuery table'],
  [
    '--history-page-limit <bars>',
    ['settings', 'history_page_limit'],
    'bars asked for in one request, at most',
  ],
  ['--backoff-base <seconds>', ['settings', 'backoff_base'], 'longest wait before the second try'],
  ['--backoff-factor <number>', ['settings', 'backoff_factor'], 'what the wait grows by with each try'],
  ['--backoff-max <seconds>', ['settings', 'backoff_max'], 'longest wait between two tries'],
  [
    '--backoff-attempts <number>',
    ['settings', 'backoff_attempts'],
    'tries of one request, the first included',
  ],
] as const

/** Adds the flags. */
export function historyOptions(command: Command): Command {
  command
    .option('--mode <mode>', 'history: what sync does anyway')
    .option('--start <time>', 'the same as --from')
    .option('--end <time>', 'the same as --to')
  for (const [flags, , help] of settings) command.option(flags, help)
  return command
}

/**
 * The options with `--start` and `--end` under their own names; the settings are handed to the configuration.
 *
 * @throws EverybarError `cli.usage` (abort) for another mode, or an end that is named twice.
 */
export function readHistoryOptions<T extends HistoryOptions>(cli: Cli, options: T): T {
  const { mode = 'history', start, end, from, to } = options
  if (mode !== 'history') {
    const hint = mode === 'live' ? 'Run "everybar live" for that.' : 'The mode of sync is history.'
    throw usage(`sync has no mode "${mode}"`, hint)
  }
  if (start !== undefined && from !== undefined)
    throw usage('--start and --from are the same', 'Give one of them.')
  if (end !== undefined && to !== undefined) throw usage('--end and --to are the same', 'Give one of them.')
  cli.override(
    settings.flatMap(([flags, path]) => {
      const [flag = ''] = flags.split(' ')
      const value = options[nameOf(flag)]
      return typeof value === 'string' ? [{ path, text: value, where: flag }] : []
    }),
  )
  return {
    ...options,
    ...(start !== undefined && { from: start }),
    ...(end !== undefined && { to: end }),
  }
}

/** `--backoff-base` is `backoffBase` among the options. */
const nameOf = (flag: string): string =>
  flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

const usage = (message: string, hint: string): EverybarError =>
  new EverybarError('cli.usage', message, { recovery: 'abort', hint })
