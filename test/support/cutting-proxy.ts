import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** When the next connection is cut: once what the client sends holds `text`. */
export interface Cut {
  readonly text: string
  /** `before`: the server never sees it. `after`: the server answers, and the client never sees the answer. */
  readonly side: 'before' | 'after'
}

/** A TCP proxy on localhost that goes dead at a moment of the test's choosing, once for each call of `cutAt`. */
export interface CuttingProxy {
  readonly port: number
  cutAt(cut: Cut): void
  /** How many cuts there were. */
  readonly cuts: number
  close(): Promise<void>
}

export async function startCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  let armed: Cut | undefined
  let cuts = 0
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    let mute = false
    const die = () => {
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.on('error', die)
      socket.on('close', () => {
        sockets.delete(socket)
        die()
      })
    }
    client.on('data', (data) => {
      const cut = armed && data.includes(armed.text) ? armed : undefined
      if (cut) {
        armed = undefined
        cuts++
        if (cut.side === 'before') return die()
        mute = true
      }
      target.write(data)
    })
    target.on('data', (data) => {
      if (mute) die()
      else client.write(data)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as { port: number }).port,
    cutAt(cut) {
      armed = cut
    },
    get cuts() {
      return cuts
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
