import { EverybarError } from '../model/errors.ts'

/** One thing wrong with the configuration. */
export interface ConfigFault {
  /** `config.unknown-key`, `config.bad-value` … */
  readonly code: string
  readonly message: string
  readonly hint: string
  /** The setting, dotted: `series.0.venue`; empty for the file as a whole. */
  readonly path: string
  /** Who set it: `everybar.yaml:3:13`, an environment variable or a flag. */
  readonly where: string
}

/** Every fault of a configuration at once, in the order of the file. Its code is the only fault's, or `config.invalid`. */
export class ConfigError extends EverybarError {
  readonly faults: readonly ConfigFault[]

  constructor(faults: readonly ConfigFault[], where: string) {
    const [first] = faults
    const single = faults.length === 1 && first ? first : undefined
    super(
      single ? single.code : 'config.invalid',
      single ? single.message : `${faults.length} faults in ${where}`,
      {
        recovery: 'abort',
        hint: single ? single.hint : 'Mend each of them; `everybar config validate` shows them again.',
        path: single ? `${single.where} ${single.path}`.trim() : where,
      },
    )
    this.name = 'ConfigError'
    this.faults = faults
  }
}

/** A setting by its keys: `['series', 0, 'venue']`. */
export type SettingPath = readonly (string | number)[]

export const dotted = (path: SettingPath): string => path.join('.')
