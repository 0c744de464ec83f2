import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder =
  process.env.EVERYBAR_SHARED_DATA ?? fileURLToPath(new URL('../../shared/data', import.meta.url))

/** The folder of real market data, or `undefined` where it is absent: tests of it skip and say so. */
export const sharedData: string | undefined = existsSync(folder) ? folder : undefined
