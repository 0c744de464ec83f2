import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeFault } from '../state/atomic.ts'
import {
  type ArrowBlock,
  type ArrowColumn,
  type ArrowSchema,
  arrowBatch,
  arrowHead,
  arrowTail,
} from './arrow.ts'

/** Writes an Arrow IPC file batch by batch; memory is one batch. */
export class ArrowSink {
  readonly path: string
  readonly #schema: ArrowSchema
  readonly #blocks: ArrowBlock[] = []
  #file: FileHandle | undefined
  #at = 0

  constructor(path: string, schema: ArrowSchema) {
    this.path = path
    this.#schema = schema
  }

  /** Adds `rows` rows, whose columns are those of the schema, in order. Waits for the disk. */
  async append(columns: readonly ArrowColumn[], rows: number): Promise<void> {
    await this.#begin()
    const { metadata, body, bodyLength } = arrowBatch(columns, rows)
    this.#blocks.push({ offset: this.#at, metadataLength: metadata.length, bodyLength })
    await this.#write(metadata, ...body)
  }

  /** Ends the file, which without a batch is a valid one of no rows. Durable when it resolves. */
  async close(): Promise<void> {
    await this.#begin()
    await this.#write(arrowTail(this.#schema, this.#blocks))
    await this.#file!.sync()
    await this.abandon()
  }

  /** Closes what is open and leaves the file unfinished. */
  async abandon(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async #begin(): Promise<void> {
    if (this.#file) return
    try {
      await mkdir(dirname(this.path), { recursive: true })
      this.#file = await open(this.path, 'w')
    } catch (cause) {
      throw writeFault(this.path, cause)
    }
    await this.#write(arrowHead(this.#schema))
  }

  async #write(...pieces: readonly Uint8Array[]): Promise<void> {
    try {
      const { bytesWritten } = await this.#file!.writev(pieces.filter((piece) => piece.length > 0))
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
      if (bytesWritten < length) await this.#rest(pieces, bytesWritten)
      this.#at += length
    } catch (cause) {
      throw writeFault(this.path, cause)
    }
  }

  /** What one call did not write, as happens when the disk is nearly full. */
  async #rest(pieces: readonly Uint8Array[], written: number): Promise<void> {
    await this.#file!.writeFile(Buffer.concat(pieces).subarray(written))
  }
}
