import { subscribe } from 'node:diagnostics_channel'

/*
 * Loaded into a process before the program: it does nothing at all for STALL_MS, as on a machine that swaps, each time a
 * request has just left and each time the header of an answer has just come. What the venue sends meanwhile lies there
 * unread, and the program's timers are overdue when it wakes.
 */
const nothing = new Int32Array(new SharedArrayBuffer(4))
const stall = (): void => {
  Atomics.wait(nothing, 0, 0, Number(process.env.STALL_MS))
}
subscribe('undici:request:bodySent', stall)
subscribe('undici:request:headers', stall)
