/** A simulated venue in real time, with its usual rate limit, 50 ms away: `live-venue.ts SYMBOLS`. */
import { startSimulator } from '../../src/simulator/simulator.ts'

const count = Number(process.argv[2])
const symbols = Array.from({ length: count }, (_, n) => `S${String(n).padStart(4, '0')}USDT`)
const venue = await startSimulator({ seed: 1, symbols, fromMs: Date.now() - 3 * 3_600_000, rttMs: 50 })
console.log(venue.url)
