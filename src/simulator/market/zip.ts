import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { fromFd, type ZipFile } from 'yauzl'
import { EverybarError } from '../../model/errors.ts'

/** A month of 1s bars is about 430 MB of text; nothing the archive publishes as klines is larger. */
const CSV_BYTES_MAX = 600 * 1024 * 1024

const unreadable = (path: string, what: string, cause?: unknown): EverybarError =>
  new EverybarError('simulator.bad-file', `${path}: ${what}`, {
    recovery: 'abort',
    hint: 'Download the file again, or take it out of the folder.',
    path,
    ...(cause === undefined ? {} : { cause }),
  })

/**
 * The one CSV file inside a zip file of the bulk archive, whole.
 *
 * @throws EverybarError `simulator.bad-file` (abort) when it is no zip file, is damaged, holds anything but one CSV, or
 *   would unpack to more than 600 MB.
 */
export async function readZippedCsv(path: string): Promise<Buffer> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw unreadable(path, 'cannot be opened', cause)
  })
  try {
    const zip = await openZip(handle.fd).catch((cause: unknown) => {
      throw unreadable(path, 'is not a whole zip file', cause)
    })
    return await onlyCsv(zip, path)
  } finally {
    await handle.close()
  }
}

const openZip = (fd: number): Promise<ZipFile> =>
  new Promise((resolve, reject) => {
    fromFd(fd, { lazyEntries: true, autoClose: false }, (error, zip) =>
      error ? reject(error) : resolve(zip),
    )
  })

function onlyCsv(zip: ZipFile, path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const refuse = (what: string, cause?: unknown) => reject(unreadable(path, what, cause))
    zip.on('error', (cause) => refuse('is damaged', cause))
    if (zip.entryCount !== 1) return refuse(`holds ${zip.entryCount} files where one CSV was expected`)
    zip.on('entry', (entry) => {
      if (!entry.fileName.endsWith('.csv')) return refuse('does not hold a CSV file')
      if (entry.uncompressedSize > CSV_BYTES_MAX) return refuse(`unpacks to ${entry.uncompressedSize} bytes`)
      zip.openReadStream(entry, (error, stream) => {
        if (error) return refuse('is damaged', error)
        const chunks: Buffer[] = []
        // yauzl fails the stream when more arrives than the entry declares.
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('error', (cause) => refuse('is damaged', cause))
        stream.on('end', () => {
          const csv = Buffer.concat(chunks)
          if (crc32(csv) !== entry.crc32) refuse('is damaged: its checksum does not hold')
          else resolve(csv)
        })
      })
    })
    zip.readEntry()
  })
}
