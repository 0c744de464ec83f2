import type { Block } from './rows.ts'

/** The most recently used blocks, up to about `bytesMax` of text; always at least the last one. */
export class BlockCache {
  #bytes = 0
  readonly #blocks = new Map<string, Block>()
  readonly #loading = new Map<string, Promise<Block>>()
  readonly #bytesMax: number

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The block of that name, made if it is not at hand; two callers at once share one making. */
  get(key: string, make: () => Block | Promise<Block>): Block | Promise<Block> {
    const held = this.#blocks.get(key)
    if (held) {
      this.#blocks.delete(key)
      this.#blocks.set(key, held)
      return held
    }
    const loading = this.#loading.get(key)
    if (loading) return loading
    const made = make()
    if (!(made instanceof Promise)) return this.#keep(key, made)
    const pending: Promise<Block> = made
      .then((block) => (this.#loading.get(key) === pending ? this.#keep(key, block) : block))
      .finally(() => {
        if (this.#loading.get(key) === pending) this.#loading.delete(key)
      })
    this.#loading.set(key, pending)
    return pending
  }

  /** Forgets every block whose name starts so; one being made is not kept when it is done. */
  forget(prefix: string): void {
    for (const [key, block] of this.#blocks) {
      if (!key.startsWith(prefix)) continue
      this.#blocks.delete(key)
      this.#bytes -= block.bytes.length
    }
    for (const key of this.#loading.keys()) if (key.startsWith(prefix)) this.#loading.delete(key)
  }

  #keep(key: string, block: Block): Block {
    this.#blocks.set(key, block)
    this.#bytes += block.bytes.length
    for (const [oldKey, old] of this.#blocks) {
      if (this.#bytes <= this.#bytesMax || oldKey === key) break
      this.#blocks.delete(oldKey)
      this.#bytes -= old.bytes.length
    }
    return block
  }
}
