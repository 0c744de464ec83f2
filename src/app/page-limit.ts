import type { ChunkPolicy } from '../chunking/definitions.ts'
import type { Config } from '../config/schema.ts'
import type { Source } from '../source/source.ts'

/** A source whose requests ask for no more bars than the configuration allows. */
export function cappedTo({ settings }: Config, source: Source): Source {
  const limit = settings.history_page_limit
  if (limit === undefined) return source
  const { chunkPolicy } = source.spec
  const cap = (policy: ChunkPolicy): ChunkPolicy => ({
    ...policy,
    maxPoints: Math.min(policy.maxPoints, limit),
  })
  const capped =
    typeof chunkPolicy === 'function'
      ? (request: { readonly timeframe: string }) => cap(chunkPolicy(request))
      : cap(chunkPolicy)
  return { ...source, spec: { ...source.spec, chunkPolicy: capped } }
}
