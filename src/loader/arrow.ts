import type { Frame } from './frame.ts'
import { arrowFile } from './write/arrow.ts'

/** A frame as an Arrow IPC file in memory: `timestamp` (microseconds, no zone, UTC), then its columns as float64. */
export const frameToArrow = (frame: Frame): Uint8Array =>
  arrowFile(
    [
      { name: 'timestamp', type: 'timestamp', values: frame.timeMs },
      ...Object.entries(frame.columns).map(([name, values]) => ({ name, type: 'float64' as const, values })),
    ],
    frame.length,
  )
