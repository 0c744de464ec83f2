import { setFlagsFromString } from 'node:v8'

/**
 * Lets the heap grow to two and a half times what lives in it before all of it is searched for garbage. Pages of bars and
 * answers lie outside of the heap and count towards that all the same: without this, every 24 MB of them cost a search,
 * together a quarter of the processor time of a backfill. Costs about 25 MB; twice that much more would save little, and
 * memory would grow with the length of a run. Only for a process that is ours.
 */
export const searchHeapSeldom = (): void => setFlagsFromString('--heap-growing-percent=150')
