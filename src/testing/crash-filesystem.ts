import type { DirectoryEntry, FileSystem, WritableFile } from '../model/filesystem.ts'

interface FileNode {
  readonly kind: 'file'
  data: Uint8Array
  /** What a power cut leaves for certain. */
  synced: Uint8Array
}
interface DirectoryNode {
  readonly kind: 'directory'
  entries: Map<string, Node>
  synced: Map<string, Node>
  changes: number
}
type Node = FileNode | DirectoryNode

/** Thrown by every operation once the power is off. */
export class PowerCut extends Error {}

export interface CrashFileSystem extends FileSystem {
  /** Operations so far. */
  readonly operations: () => number
  /** The power goes off at the n-th operation from the start, before it does anything. */
  readonly cutAt: (operation: number) => void
  /** How often each operation ran. */
  readonly counts: () => Readonly<Record<string, number>>
  /**
   * Power on again: what was synced is there; of all else, each name and each piece of a file is there or not as
   * `survives` decides.
   */
  readonly restart: (survives: () => boolean) => void
}

/**
 * Files in memory that lose what real disks lose: bytes without a sync of their file, names without a sync of their
 * directory. Shows whether "durable when it resolves" is true.
 */
export function crashFileSystem(): CrashFileSystem {
  return new Disk().port()
}

class Disk {
  #root = directory()
  #operations = 0
  #cutAt = Number.POSITIVE_INFINITY
  #counts: Record<string, number> = {}

  #step(name: string): void {
    if (this.#operations >= this.#cutAt) throw new PowerCut(`power cut at operation ${this.#operations}`)
    this.#operations++
    this.#counts[name] = (this.#counts[name] ?? 0) + 1
  }

  /** Lets other callers in between, as real I/O does. */
  async #do<T>(name: string, act: () => T): Promise<T> {
    this.#step(name)
    await new Promise<void>((resolve) => setImmediate(resolve))
    return act()
  }

  port(): CrashFileSystem {
    return {
      operations: () => this.#operations,
      counts: () => ({ ...this.#counts }),
      cutAt: (operation) => {
        this.#cutAt = operation
      },
      restart: (survives) => {
        this.#root = afterCut(this.#root, survives)
        this.#cutAt = Number.POSITIVE_INFINITY
      },
      create: (path) => this.#do('create', () => this.#create(path)),
      extend: (path, at) => this.#do('extend', () => this.#extend(path, at)),
      readFile: (path) => this.#do('readFile', () => this.#file(path).data.slice()),
      list: (path) => this.#list(path),
      size: (path) => this.#do('size', () => (this.#has(path) ? this.#sizeOf(path) : undefined)),
      stamp: (path) => this.#do('stamp', () => (this.#has(path) ? this.#stampOf(path) : undefined)),
      makeDirectory: (path) => this.#do('makeDirectory', () => this.#makeDirectory(path)),
      rename: (from, to) =>
        this.#do('rename', () => {
          this.#put(to, this.#file(from))
          this.#drop(from)
        }),
      link: (from, to) =>
        this.#do('link', () => {
          if (this.#has(to)) throw fault('EEXIST', to)
          this.#put(to, this.#file(from))
        }),
      remove: (path) =>
        this.#do('remove', () => {
          this.#file(path)
          this.#drop(path)
        }),
      syncDirectory: (path) =>
        this.#do('syncDirectory', () => {
          const node = this.#directory(path)
          node.synced = new Map(node.entries)
        }),
    }
  }

  #create(path: string): WritableFile {
    if (this.#has(path)) throw fault('EEXIST', path)
    const node: FileNode = { kind: 'file', data: new Uint8Array(0), synced: new Uint8Array(0) }
    this.#put(path, node)
    return this.#writable(node)
  }

  #extend(path: string, at: number): WritableFile {
    const node = this.#file(path)
    if (node.data.byteLength > at) node.data = node.data.slice(0, at)
    return this.#writable(node)
  }

  #writable(node: FileNode): WritableFile {
    return {
      write: (parts) =>
        this.#do('write', () => {
          node.data = Buffer.concat([node.data, ...parts])
        }),
      sync: () =>
        this.#do('sync', () => {
          node.synced = node.data
        }),
      close: async () => {},
    }
  }

  async *#list(path: string): AsyncGenerator<DirectoryEntry> {
    const entries = await this.#do('list', () => [...this.#directory(path).entries])
    for (const [name, { kind }] of entries) yield { name, kind }
  }

  #makeDirectory(path: string): string | undefined {
    let at = this.#root
    let first: string | undefined
    let walked = ''
    for (const name of partsOf(path)) {
      walked += `/${name}`
      let next = at.entries.get(name)
      if (next?.kind === 'file') throw fault('ENOTDIR', path)
      if (!next) {
        next = directory()
        at.entries.set(name, next)
        at.changes++
        first ??= walked
      }
      at = next
    }
    return first
  }

  #find(path: string): Node | undefined {
    let at: Node | undefined = this.#root
    for (const name of partsOf(path)) {
      if (at?.kind !== 'directory') return undefined
      at = at.entries.get(name)
    }
    return at
  }

  readonly #has = (path: string): boolean => this.#find(path) !== undefined

  #file(path: string): FileNode {
    const node = this.#find(path)
    if (node?.kind !== 'file') throw fault(node ? 'EISDIR' : 'ENOENT', path)
    return node
  }

  #directory(path: string): DirectoryNode {
    const node = this.#find(path)
    if (node?.kind !== 'directory') throw fault(node ? 'ENOTDIR' : 'ENOENT', path)
    return node
  }

  #parent(path: string): readonly [DirectoryNode, string] {
    const parts = partsOf(path)
    return [this.#directory(`/${parts.slice(0, -1).join('/')}`), parts.at(-1)!]
  }

  #put(path: string, node: Node): void {
    const [parent, name] = this.#parent(path)
    parent.entries.set(name, node)
    parent.changes++
  }

  #drop(path: string): void {
    const [parent, name] = this.#parent(path)
    parent.entries.delete(name)
    parent.changes++
  }

  #sizeOf(path: string): number {
    const node = this.#find(path)
    return node?.kind === 'file' ? node.data.byteLength : 0
  }

  #stampOf(path: string): string {
    const node = this.#find(path)!
    return node.kind === 'file' ? `${node.data.byteLength}` : `${node.changes}`
  }
}

const directory = (): DirectoryNode => ({
  kind: 'directory',
  entries: new Map(),
  synced: new Map(),
  changes: 0,
})

const partsOf = (path: string): string[] => path.split('/').filter(Boolean)

const fault = (code: string, path: string): Error => Object.assign(new Error(`${code}: ${path}`), { code })

function afterCut(node: DirectoryNode, survives: () => boolean): DirectoryNode {
  const seen = new Map<Node, Node>()
  const left = <T extends Node>(before: T): T => {
    const known = seen.get(before)
    if (known) return known as T
    const after = before.kind === 'file' ? fileAfter(before, survives) : directoryAfter(before)
    seen.set(before, after)
    return after as T
  }
  const directoryAfter = (before: DirectoryNode): DirectoryNode => {
    const entries = new Map<string, Node>()
    for (const name of new Set([...before.synced.keys(), ...before.entries.keys()])) {
      const [old, current] = [before.synced.get(name), before.entries.get(name)]
      const kept = old === current || !survives() ? old : current
      if (kept) entries.set(name, left(kept))
    }
    return { kind: 'directory', entries, synced: new Map(entries), changes: before.changes + 1 }
  }
  return left(node)
}

/** Bytes past the synced ones may be there, be missing, or be zero. */
function fileAfter({ data, synced }: FileNode, survives: () => boolean): FileNode {
  if (data === synced) return { kind: 'file', data, synced }
  const [some, all, zeros] = [survives(), survives(), survives()]
  const half = Math.floor((synced.byteLength + data.byteLength) / 2)
  const kept = !some
    ? synced
    : all
      ? data
      : zeros
        ? Uint8Array.from(data, (byte, i) => (i < synced.byteLength ? byte : 0))
        : data.slice(0, half)
  return { kind: 'file', data: kept, synced: kept }
}
