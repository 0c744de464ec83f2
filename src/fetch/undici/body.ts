import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, type ZlibOptions, zstdDecompress } from 'node:zlib'
import { EverybarError } from '../../model/errors.ts'

type Unpack = (packed: Uint8Array, options: { readonly maxOutputLength: number }) => Promise<Buffer>

const unpackers: Readonly<Record<string, Unpack>> = {
  gzip: promisify<Uint8Array, ZlibOptions, Buffer>(gunzip),
  'x-gzip': promisify<Uint8Array, ZlibOptions, Buffer>(gunzip),
  deflate: promisify<Uint8Array, ZlibOptions, Buffer>(inflate),
  br: promisify<Uint8Array, ZlibOptions, Buffer>(brotliDecompress),
  zstd: (packed, options) => promisify(zstdDecompress)(packed, { maxOutputLength: options.maxOutputLength }),
}

/** `fetch.body-too-large` (abort). */
export const tooLarge = (url: string, bytesMax: number): EverybarError =>
  new EverybarError('fetch.body-too-large', `${url} sent more than ${bytesMax} bytes`, {
    recovery: 'abort',
    hint: 'No answer of a venue is that large. See who answers there, or raise the bound.',
  })

/**
 * The content of a body: unpacked by its `content-encoding`, whether that was asked for or not. Unpacking stops at
 * `bytesMax`, so a small body cannot fill the memory.
 *
 * @throws EverybarError `fetch.body-too-large` (abort), `fetch.broken-body` (retry) for damaged or unknown packing.
 */
export async function unpack(
  body: Uint8Array,
  encoding: string | undefined,
  { url, bytesMax }: { readonly url: string; readonly bytesMax: number },
): Promise<Uint8Array> {
  const layers = (encoding ?? '')
    .toLowerCase()
    .split(',')
    .map((layer) => layer.trim())
    .filter((layer) => layer !== '' && layer !== 'identity')
  let content = body
  for (const layer of layers.reverse()) {
    if (content.length === 0) return content
    const unpacker = layers.length <= 2 ? unpackers[layer] : undefined
    if (!unpacker) throw brokenBody(url, `content-encoding ${JSON.stringify(encoding?.slice(0, 40))}`)
    try {
      content = await unpacker(content, { maxOutputLength: bytesMax })
    } catch (cause) {
      const { code } = cause as { code?: unknown }
      throw code === 'ERR_BUFFER_TOO_LARGE'
        ? tooLarge(url, bytesMax)
        : brokenBody(url, `damaged ${layer}`, cause)
    }
  }
  return content
}

const brokenBody = (url: string, what: string, cause?: unknown): EverybarError =>
  new EverybarError('fetch.broken-body', `${url} sent a body that cannot be unpacked: ${what}`, {
    recovery: 'retry',
    hint: 'It was damaged on the way, or a proxy changed it.',
    cause,
  })
