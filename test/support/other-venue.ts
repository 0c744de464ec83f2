import type { ServerResponse } from 'node:http'
import { httpServer, type TestServer } from '../http-server.ts'

/** `[openTime, "open", … 12 cells]`, as the venue writes a row. */
export type WireRow = readonly (number | string)[]

export interface OtherVenue extends TestServer {
  /** Paths asked for, with their query, in order. */
  readonly asked: string[]
}

export interface OtherVenueOptions {
  /** By symbol, in the order they are sent. */
  readonly rows: Readonly<Record<string, readonly WireRow[]>>
  /** Changes a page just before it is sent. */
  readonly spoil?: (page: readonly WireRow[], startMs: number) => unknown
  /** Whether answers are dated. */
  readonly dated?: boolean
}

/**
 * A venue of another make than the simulator: `/api/v3/klines` and nothing else. No `exchangeInfo`, no weights, header
 * names in odd case, the body in chunks, errors as plain as can be.
 */
export async function otherVenue({ rows, spoil, dated = true }: OtherVenueOptions): Promise<OtherVenue> {
  const asked: string[] = []
  const server = await httpServer((_n, response, request) => {
    response.sendDate = dated
    const url = new URL(request.url!, 'http://venue')
    asked.push(request.url!)
    const known = rows[url.searchParams.get('symbol') ?? '']
    if (url.pathname !== '/api/v3/klines') return send(response, 404, 'not here')
    if (!known) return send(response, 400, '{"code":-1121,"msg":"Invalid symbol."}')
    const number = (name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise)
    const startMs = number('startTime', Number.NaN)
    const endMs = number('endTime', Number.POSITIVE_INFINITY)
    const limit = Math.min(number('limit', 500), 1000)
    const fitting = known.filter(([open]) => !(Number(open) < startMs) && Number(open) <= endMs)
    const page = Number.isNaN(startMs) ? fitting.slice(-limit) : fitting.slice(0, limit)
    send(response, 200, JSON.stringify(limit === 1 ? page : (spoil?.(page, startMs) ?? page)))
  })
  return { ...server, asked }
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'cOnTeNt-TyPe': 'application/json', 'x-served-by': 'other' })
  response.write(body.slice(0, body.length >> 1))
  response.end(body.slice(body.length >> 1))
}
