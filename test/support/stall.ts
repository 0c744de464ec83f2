/* Loaded into a process before the program: every 300 ms it does nothing at all for STALL_MS, as a machine that swaps. */
const nothing = new Int32Array(new SharedArrayBuffer(4))
setInterval(() => Atomics.wait(nothing, 0, 0, Number(process.env.STALL_MS)), 300).unref()
