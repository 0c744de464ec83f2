import { isEverybarError, messageOf } from '../model/errors.ts'
import type { House } from './house.ts'
import type { Tail, TailAnswer } from './live-tail.ts'
import type { VenueClock } from './venue-clock.ts'

/** Asks a tail for its newest bars, and says so in the log, as any other request does. @throws as `Tail.ask`. */
export async function askAloud(
  { onEvent, clock }: Pick<House, 'onEvent' | 'clock'>,
  tail: Tail,
  venueClock: VenueClock,
  signal: AbortSignal,
): Promise<TailAnswer> {
  const startedMs = clock.monotonicMs()
  const base = { series: tail.job.id }
  const spent = () => ({ duration_ms: Math.round(clock.monotonicMs() - startedMs) })
  onEvent({ event: 'fetch_start', level: 'debug', ...base })
  try {
    const answer = await tail.ask(venueClock, signal)
    const rows = answer.kind === 'bars' ? answer.fresh.length : 0
    onEvent({ event: 'fetch_ok', level: 'debug', ...base, rows, outcome: answer.kind, ...spent() })
    return answer
  } catch (error) {
    const code = isEverybarError(error) ? error.code : 'app.unexpected'
    onEvent({ event: 'fetch_error', ...base, code, error: messageOf(error), ...spent() })
    throw error
  }
}
