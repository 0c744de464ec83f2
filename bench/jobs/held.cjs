/**
 * Loaded before a program (NODE_OPTIONS with `--expose-gc`): writes to the file HELD_TO the most the program held at once, in
 * MB, of objects and arrays that a collection leaves. What the allocators keep beside it is not in it.
 */
const { writeFileSync } = require('node:fs')

let most = 0
setInterval(() => {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  most = Math.max(most, heapUsed + external)
}, 250).unref()
process.on('exit', () => writeFileSync(process.env.HELD_TO, String(most / 1e6)))
