/** One request, as a source describes it. Nothing is sent here. */
export interface HttpRequest {
  readonly method?: 'GET' | 'POST'
  readonly url: string
  /** Never logged, never archived: keys and tokens travel here. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** The rate-limit bucket the call is charged to: `binance.spot`. */
  readonly bucket: string
  /** Its weight there; at least 1. */
  readonly weight: number
}

/** An answer as it came. The body is the decoded (unzipped) content, not yet read. */
export interface RawResponse {
  /** The URL asked, without any secret. */
  readonly url: string
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** Local clock, epoch ms: when the request left and when the body was whole. */
  readonly requestedAtMs: number
  readonly receivedAtMs: number
  /** 1 for the first try. */
  readonly attempts: number
}
