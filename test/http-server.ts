import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../src/model/events.ts'

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, signal ? { signal } : {})
  },
}

export interface TestServer {
  readonly baseUrl: string
  readonly port: number
  readonly close: () => Promise<void>
}

async function listening(server: Server, sockets: Set<Socket>): Promise<TestServer> {
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** An HTTP server on loopback; `answer` is called with the number of the request, from 1. */
export function httpServer(
  answer: (n: number, response: ServerResponse, request: IncomingMessage) => void,
): Promise<TestServer> {
  let n = 0
  return listening(
    createServer((request, response) => answer(++n, response, request)),
    new Set(),
  )
}

/** A server that takes connections and leaves the rest to `serve`. */
export const tcpServer = (serve: (socket: Socket) => void): Promise<TestServer> =>
  listening(createTcpServer(serve), new Set())
