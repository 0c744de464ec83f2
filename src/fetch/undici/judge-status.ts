import { EverybarError } from '../../model/errors.ts'
import type { RawResponse } from '../../model/http.ts'

/**
 * The check of a call that brings none of its own: every 2xx passes, and every other 4xx, for the caller to read.
 *
 * @throws EverybarError `fetch.server-error` (408, 5xx), `fetch.forbidden` (403), both retry; `fetch.geo-blocked`
 *   (451, abort).
 */
export function judgeStatus({ status, url }: Pick<RawResponse, 'status' | 'url'>): void {
  const message = `${url} answered ${status}`
  if (status === 408 || status >= 500) {
    const hint = 'The venue had a fault of its own. It passes, as a rule, within minutes.'
    throw new EverybarError('fetch.server-error', message, { recovery: 'retry', hint })
  }
  if (status === 403) {
    const hint =
      'A firewall turned the request away. Wait a while; if it stays, this address or region is blocked.'
    throw new EverybarError('fetch.forbidden', message, { recovery: 'retry', hint })
  }
  if (status === 451) {
    const hint = 'The venue does not serve this place. Use an address it serves.'
    throw new EverybarError('fetch.geo-blocked', message, { recovery: 'abort', hint })
  }
}
