/* Loaded into a process before the program: its wall clock is wrong by CLOCK_SHIFT_MS, and steps by CLOCK_STEP_MS after a while. */
const own = Date.now
const shift = Number(process.env.CLOCK_SHIFT_MS ?? 0)
const step = Number(process.env.CLOCK_STEP_MS ?? 0)
const startedAt = performance.now()
Date.now = () => own() + shift + (performance.now() - startedAt > 150 ? step : 0)
