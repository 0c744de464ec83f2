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
    const { metadata, body } = arrowBatch(columns, rows)
    this.#blocks.push({ offset: this.#at, metadataLength: metadata.length, bodyLength: body.length })
    await this.#write(metadata)
    await this.#write(body)
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

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#file!.writeFile(bytes)
    } catch (cause) {
      throw writeFault(this.path, cause)
    }
    this.#at += bytes.length
  }
}
