import { EverybarError } from '../model/errors.ts'
import { chunksMax } from './definitions.ts'
import { callOf } from './page.ts'
import type { ChunkPlan, Cursor } from './plan.ts'
import { ChunkPoints, type PageFacts } from './points.ts'
import { type ReadChunk, type ReadContext, Spending, windowOf } from './read-window.ts'
import type { EndedBy } from './result.ts'
import type { ChunkOutcome } from './run-chunks.ts'

/**
 * Pages by cursor, one after another, each a chunk. Ends where an answer names no next cursor, where a whole answer
 * lies past the run's range, or at the last page allowed. An empty page with a next cursor does not end it. The last outcome may
 * be an error.
 *
 * @param found points handed over so far.
 */
export async function* pagesByCursor<T>(
  context: ReadContext<T>,
  found: () => number,
  signal: AbortSignal = new AbortController().signal,
): AsyncGenerator<ChunkOutcome<ChunkPlan, ReadChunk<T>>, void, undefined> {
  const { run } = context
  const pagesMax = chunksMax(run.metadata.policy)
  const seen = new Set<Cursor>()
  for (const first of run.chunks) {
    let plan: ChunkPlan | undefined = first
    while (plan) {
      signal.throwIfAborted()
      const { index }: ChunkPlan = plan
      let result: ReadChunk<T>
      try {
        if (plan.cursor !== undefined) noteCursor(seen, plan.cursor, run.metadata.endpointId)
        result = await readPage(context, plan, index + 1 >= pagesMax, signal)
      } catch (error) {
        signal.throwIfAborted()
        yield { plan, index, error }
        return
      }
      yield { plan, index, result }
      const { nextCursor } = result
      const room = (run.limit ?? Number.POSITIVE_INFINITY) - found()
      plan =
        nextCursor === undefined
          ? undefined
          : {
              ...windowOf(plan),
              index: index + 1,
              limit: Math.max(1, Math.min(run.pageSize, room)),
              cursor: nextCursor,
            }
    }
  }
}

async function readPage<T>(
  context: ReadContext<T>,
  plan: ChunkPlan,
  isLast: boolean,
  signal: AbortSignal,
): Promise<ReadChunk<T>> {
  const { run, reader, clock } = context
  const { metadata, request } = run
  const spending = new Spending(clock)
  const window = windowOf(plan)
  const newestFirst = metadata.order === 'descending'
  const points = new ChunkPoints(reader, window, { points: newestFirst, pages: newestFirst })
  const page = await spending.send(context, callOf(request, metadata, plan, window, 0), signal)
  const facts = points.add(page, window, plan.limit)
  const { nextCursor } = page
  const endedBy = endAfter(run.direction === 'forwards', facts, nextCursor, isLast)
  return {
    data: points.ascending(),
    ...spending.total(),
    outOfRange: points.outOfRange,
    duplicates: points.duplicates,
    pageWasShort: facts.raw < plan.limit,
    ...(nextCursor !== undefined && { nextCursor }),
    ...(endedBy && { endedBy }),
  }
}

function endAfter(
  forwards: boolean,
  { inOpen, before, after }: PageFacts,
  nextCursor: Cursor | undefined,
  isLast: boolean,
): EndedBy | undefined {
  // One odd point past the range proves nothing; a page of which no point is in it, and some are past it, does.
  if (inOpen === 0 && (forwards ? after : before) > 0) return 'range'
  if (nextCursor === undefined) return 'cursor-end'
  return isLast ? 'max-chunks' : undefined
}

function noteCursor(seen: Set<Cursor>, cursor: Cursor, endpointId: string): void {
  if (seen.has(cursor)) {
    throw new EverybarError('chunking.cursor-repeated', `${endpointId}: the cursor ${cursor} came back`, {
      recovery: 'abort',
      hint: 'The endpoint does not go on from its own cursor. Check which field the cursor is read from.',
    })
  }
  seen.add(cursor)
}
