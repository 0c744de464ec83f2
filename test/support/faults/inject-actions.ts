/**
 * - `fail-before`, `fail-after`: the operation fails, once, before or after it has done its deed;
 * - `kill-before`, `kill-after`: the process dies there;
 * - `dead`: that operation and all that follow fail, as on a disk that is gone.
 */
export const actions = ['fail-before', 'fail-after', 'kill-before', 'kill-after', 'dead'] as const
export type Action = (typeof actions)[number]
