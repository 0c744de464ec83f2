import { EverybarError } from '../model/errors.ts'
import { iso } from '../model/time.ts'
import { isReversed, readWhen, type When, whenHint } from '../model/when.ts'

/** The range two flags name. Absent flags stay absent: what they mean is the command's to say. */
export interface Ends {
  readonly from?: When
  readonly to?: When
}

/**
 * Reads `--from` and `--to`. Half-open: `--to 2018-03` ends with the last bar of February.
 *
 * @throws EverybarError `cli.bad-time`, `cli.range-reversed` (abort).
 */
export function readEnds(from: string | undefined, to: string | undefined): Ends {
  const ends = {
    ...(from === undefined ? {} : { from: readEnd('--from', from) }),
    ...(to === undefined ? {} : { to: readEnd('--to', to) }),
  }
  if (isReversed(ends.from, ends.to)) {
    throw new EverybarError(
      'cli.range-reversed',
      `--from ${show(ends.from)} is not before --to ${show(ends.to)}`,
      {
        recovery: 'abort',
        hint: 'The range holds --from and not --to; without --to it ends now. Swap them, or name a later --to.',
        path: '--from',
      },
    )
  }
  return ends
}

function readEnd(flag: '--from' | '--to', text: string): When {
  const when = readWhen(text)
  if (when && !(when.kind === 'listing' && flag === '--to')) return when
  const epoch = /^\d{9,}$/.test(text.trim())
    ? ' Epoch numbers are not read: their unit is anyone’s guess.'
    : ''
  throw new EverybarError('cli.bad-time', `${flag} "${text}" is not a time`, {
    recovery: 'abort',
    hint: when ? 'listing is the first bar there is; it can only be a --from.' : whenHint + epoch,
    path: flag,
  })
}

function show(when: When | undefined): string {
  if (when === undefined) return 'now'
  if (when.kind === 'listing') return 'listing'
  if (when.kind === 'at') return iso(when.ms)
  return when.ms === 0 ? 'now' : `${when.ms / 60_000} minutes ago`
}
