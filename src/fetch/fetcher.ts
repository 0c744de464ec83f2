import type { HttpRequest, RawResponse } from '../model/http.ts'

/** One rate limit, as the venue's spec or the venue itself states it. */
export interface BucketLimit {
  readonly bucket: string
  readonly capacity: number
  readonly windowMs: number
  /** What the venue adds up: the weights of requests, or their number. Weights unless said. */
  readonly counts?: 'weight' | 'requests'
}

export interface FetchOptions {
  /**
   * Judges an answer of any status; throws EverybarError to refuse it. A refusal with recovery `retry` is tried again,
   * up to the attempts allowed; any other ends the call. A promise is waited for.
   */
  readonly check?: (response: RawResponse) => void | Promise<void>
  readonly signal?: AbortSignal
}

/** What a bucket has spent in its current window. */
export interface BucketUsage {
  readonly bucket: string
  readonly used: number
  readonly capacity: number
  readonly windowMs: number
  /** Epoch ms; in the past when nothing is blocked. */
  readonly blockedUntilMs: number
}

/**
 * The only way to a venue. Weight is reserved before a request leaves and corrected by the venue's own counters; a
 * 429, a 418 or a `Retry-After` stops every request of the bucket at once, and none leaves while it is blocked.
 */
export interface Fetcher extends AsyncDisposable {
  /**
   * Sends a request, retrying what may be retried, and gives the first answer `check` lets pass.
   *
   * @throws EverybarError `fetch.timeout`, `fetch.unreachable`, `fetch.rate-limited`, `fetch.banned` (retry: the
   *   attempts are used up, or the ban is longer than it may wait), `fetch.redirect`, `fetch.body-too-large` (abort),
   *   or what `check` threw. Rejects with the abort reason when `signal` aborts.
   */
  fetch(request: HttpRequest, options?: FetchOptions): Promise<RawResponse>

  /** Sets a bucket's limits, by the venue's own word. */
  setLimits(limits: readonly BucketLimit[]): void

  /** Sets the limits of buckets that have none yet, from the spec: what a venue said before counts more. */
  assumeLimits(limits: readonly BucketLimit[]): void

  usage(): readonly BucketUsage[]

  /** Requests that left, answers by status, weight spent, time waited for weight: since the start. */
  stats(): {
    readonly requests: number
    readonly retries: number
    readonly byStatus: Readonly<Record<string, number>>
    readonly weight: number
    readonly waitedMs: number
  }
}
