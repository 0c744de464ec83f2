/** A finished table, vector or string: its distance from the end of the buffer. */
export type Offset = number & { readonly __offset: true }

/** One field of a table: how wide it is, and how it is written. Absent fields have their default. */
export type Slot =
  | { readonly kind: 'offset'; readonly value: Offset }
  | { readonly kind: 'u8' | 'i16' | 'i64'; readonly value: number }
  | undefined

const widths = { offset: 4, u8: 1, i16: 2, i64: 8 } as const

/**
 * Builds a FlatBuffer (https://flatbuffers.dev/internals) from its end to its start: children first, then what refers
 * to them. Only what Arrow's metadata needs.
 */
export class FlatBufferBuilder {
  #bytes = new Uint8Array(1024)
  #view = new DataView(this.#bytes.buffer)
  /** Bytes written, all at the end of the buffer. */
  #used = 0

  string(text: string): Offset {
    const bytes = new TextEncoder().encode(text)
    this.#align(4, bytes.length + 1)
    this.#pad(1)
    this.#raw(bytes)
    this.#i32(bytes.length)
    return this.#here()
  }

  /** A vector of references. */
  offsets(values: readonly Offset[]): Offset {
    this.#align(4)
    for (const value of values.toReversed()) this.#reference(value)
    this.#i32(values.length)
    return this.#here()
  }

  /** A vector of structs, each made of 64-bit numbers. */
  structs(rows: readonly (readonly number[])[]): Offset {
    this.#align(8, rows.length * (rows[0]?.length ?? 0) * 8)
    for (const row of rows.toReversed()) for (const value of row.toReversed()) this.#i64(value)
    this.#i32(rows.length)
    return this.#here()
  }

  /** A table, its fields by number. */
  table(slots: readonly Slot[]): Offset {
    const end = this.#used
    const at: number[] = slots.map(() => 0)
    // Widest first, so that little is lost to alignment.
    const order = slots.map((_, i) => i).sort((a, b) => width(slots[b]) - width(slots[a]) || a - b)
    for (const i of order) {
      const slot = slots[i]
      if (!slot) continue
      this.#align(widths[slot.kind])
      this.#scalar(slot)
      at[i] = this.#used
    }
    this.#align(4)
    this.#i32(0) // becomes the way to the vtable
    const table = this.#here()
    const entries = at.map((used) => (used === 0 ? 0 : table - used))
    for (const entry of entries.toReversed()) this.#i16(entry)
    this.#i16(table - end)
    this.#i16((slots.length + 2) * 2)
    this.#view.setInt32(this.#bytes.length - table, this.#used - table, true)
    return table
  }

  /** The whole buffer, a multiple of eight bytes long. Nothing may be added after. */
  finish(root: Offset): Uint8Array {
    this.#align(8, 4)
    this.#reference(root)
    return this.#bytes.slice(this.#bytes.length - this.#used)
  }

  #scalar({ kind, value }: NonNullable<Slot>): void {
    if (kind === 'offset') this.#reference(value)
    else if (kind === 'u8') this.#raw(Uint8Array.of(value))
    else if (kind === 'i16') this.#i16(value)
    else this.#i64(value)
  }

  #here(): Offset {
    return this.#used as Offset
  }

  #reference(target: Offset): void {
    this.#align(4)
    this.#i32(this.#used + 4 - target)
  }

  #i16(value: number): void {
    this.#room(2)
    this.#view.setInt16(this.#bytes.length - this.#used, value, true)
  }

  #i32(value: number): void {
    this.#room(4)
    this.#view.setInt32(this.#bytes.length - this.#used, value, true)
  }

  #i64(value: number): void {
    this.#room(8)
    this.#view.setBigInt64(this.#bytes.length - this.#used, BigInt(value), true)
  }

  #raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#bytes.length - this.#used)
  }

  #pad(count: number): void {
    this.#room(count)
    this.#bytes.fill(0, this.#bytes.length - this.#used, this.#bytes.length - this.#used + count)
  }

  /** Pads so that after `more` further bytes the position is a multiple of `size`. */
  #align(size: number, more = 0): void {
    const over = (this.#used + more) % size
    if (over > 0) this.#pad(size - over)
  }

  /** Claims the next `count` bytes, going down. */
  #room(count: number): void {
    if (this.#used + count > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#used + count))
      larger.set(this.#bytes, larger.length - this.#bytes.length)
      this.#bytes = larger
      this.#view = new DataView(larger.buffer)
    }
    this.#used += count
  }
}

const width = (slot: Slot): number => (slot ? widths[slot.kind] : 0)
