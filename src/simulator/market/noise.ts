/** A 32-bit hash of text and whole numbers; the same everywhere and always. */
export function hash(...parts: readonly (string | number)[]): number {
  let h = 0x811c9dc5
  for (const part of parts) {
    const text = String(part)
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    h = Math.imul(h ^ 0x2c, 0x01000193)
  }
  return mix(h)
}

/** Spreads a 32-bit number over all its bits. */
export function mix(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
  return (h ^ (h >>> 16)) >>> 0
}

/** A 32-bit number as a fraction, 0 inclusive to 1 exclusive. */
export const unit = (bits: number): number => bits / 0x1_0000_0000

/** Fractions from a seed, one after the other. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    return unit(mix(state))
  }
}

/** Smooth noise over the whole numbers, -1 to 1: fixed points every `period`, eased between. */
export function smoothNoise(seed: number, position: number, period: number): number {
  const cell = Math.floor(position / period)
  const along = position / period - cell
  const ease = along * along * (3 - 2 * along)
  const at = (index: number) => unit(mix(seed ^ Math.imul(index, 0x85ebca6b))) * 2 - 1
  return at(cell) * (1 - ease) + at(cell + 1) * ease
}
