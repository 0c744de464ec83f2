import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

type Row = readonly unknown[]

/** A venue whose klines somebody edits on their way. */
export async function editedVenue(
  upstream: string,
  edit: (rows: readonly Row[], url: URL) => readonly Row[],
) {
  const server = createServer(async (request, response) => {
    const url = new URL(request.url!, upstream)
    const answer = await fetch(url)
    const text = await answer.text()
    const isKlines = url.pathname.endsWith('/klines') && answer.status === 200
    const body = isKlines ? JSON.stringify(edit(JSON.parse(text) as Row[], url)) : text
    const date = answer.headers.get('date')
    response.writeHead(answer.status, { 'content-type': 'application/json', ...(date && { date }) }).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}
