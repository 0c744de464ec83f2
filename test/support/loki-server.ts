import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'

/** A Loki that takes every push, or refuses each; with every line that came, and its labels. */
export async function startLoki(status = 204) {
  const lines: { readonly labels: Record<string, string>; readonly line: Record<string, unknown> }[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { streams } = JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()) as {
        streams: { stream: Record<string, string>; values: [string, string][] }[]
      }
      for (const { stream, values } of streams)
        for (const [, line] of values) lines.push({ labels: stream, line: JSON.parse(line) })
      response.writeHead(status).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, lines, close: () => new Promise((done) => server.close(done)) }
}
