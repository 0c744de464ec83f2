import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect, test } from 'vitest'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'

/** An address of this machine that others may reach it by. */
const outside = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address

const reached = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 })
    const over = (answer: boolean) => () => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', over(true)).on('error', over(false)).on('timeout', over(false))
  })

test.each([
  ['Binance', startSimulator],
  ['Kite', startKiteSimulator],
])('a simulated %s is reached from this machine alone', async (_name, start) => {
  const { port, close } = await start({})
  try {
    expect(await reached('127.0.0.1', port)).toBe(true)
    // Where there is but this machine, another address of its own stands for the world.
    expect(await reached(outside ?? '127.0.0.2', port)).toBe(false)
  } finally {
    await close()
  }
})
