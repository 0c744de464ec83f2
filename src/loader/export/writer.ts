import type { ExportFrame, Item } from './item.ts'

/** A file a writer has finished, relative to its folder, with `/`. */
export interface WrittenFile {
  readonly path: string
  readonly rows: number
}

/** Puts rows of one item after the other into files of one format. */
export interface FormatWriter {
  /** Rows of `item`, after those given before. Items come one after the other. */
  write(item: Item, frame: ExportFrame): Promise<void>
  /** No more rows of this item. */
  endItem(item: Item): Promise<void>
  /** Finishes every file. What was found on the way that a trainer would not like is in `warnings`. */
  close(): Promise<{ readonly files: readonly WrittenFile[]; readonly warnings: readonly string[] }>
  /** Lets go of what is open, unfinished. Safe after `close`. */
  abandon(): Promise<void>
}
