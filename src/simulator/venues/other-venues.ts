import type { EpochMs } from '../../model/time.ts'
import { json } from '../binance/answers.ts'
import type { FaultBook, FaultRule } from '../faults.ts'
import { hostile, isHostileName, rowFaults } from '../hostile.ts'
import type { Answer, SimulatedRequest } from '../http.ts'
import type { Feed } from '../market/feed.ts'
import type { KlineRow } from '../market/rows.ts'
import type { TrafficLog } from '../traffic.ts'
import { bybit } from './bybit.ts'
import { coinbase } from './coinbase.ts'
import { kraken } from './kraken.ts'
import { kucoin } from './kucoin.ts'
import { okx } from './okx.ts'

export interface OtherVenueParts {
  readonly feed: Feed
  readonly now: () => EpochMs
  readonly faults: FaultBook
  readonly traffic: TrafficLog
}

const routes = [...kraken, ...bybit, ...okx, ...coinbase, ...kucoin]

/**
 * Answers as another exchange would, from the same bars, where the path is one of its own; `undefined` for every other
 * path. Rates are not limited here; 429 and 418 come as faults only.
 */
export async function answerAsOther(
  request: SimulatedRequest,
  { feed, now, faults, traffic }: OtherVenueParts,
): Promise<Answer | undefined> {
  if (request.method !== 'GET') return undefined
  for (const { path, endpoint, serve } of routes) {
    const match = path.exec(request.path)
    if (!match) continue
    const { query } = request
    const met = faults.next(endpoint, query.get('symbol') ?? query.get('pair') ?? query.get('instId'))
    const spoilRows = (rows: readonly KlineRow[]) =>
      met.filter(({ kind }) => rowFaults.has(kind)).reduce(spoiltRows, rows)
    const served = await serve({ caught: match.slice(1), query, feed, nowMs: now(), spoilRows })
    const answer = met.filter(({ kind }) => !rowFaults.has(kind)).reduce(spoil, served.answer)
    const bars = served.bars === undefined ? {} : { bars: served.bars }
    const names = met.map(({ kind }) => kind)
    traffic.add({ request, answer, market: 'spot', endpoint, weight: 0, used: 0, faults: names, ...bars })
    return answer
  }
  return undefined
}

/** Row faults are written for lists of rows. */
function spoiltRows(rows: readonly KlineRow[], { kind, value }: FaultRule): readonly KlineRow[] {
  if (!isHostileName(kind)) return rows
  const { body } = hostile[kind].apply(json(rows), value)
  return JSON.parse(Buffer.from(body).toString()) as readonly KlineRow[]
}

function spoil(answer: Answer, { kind, value }: FaultRule): Answer {
  switch (kind) {
    case '429':
    case '418':
      return { ...json({ msg: 'Too many requests' }, Number(kind)), headers: { 'Retry-After': '1' } }
    case '429-bare':
      return json({ msg: 'Too many requests' }, 429)
    case 'weight-jump':
      return answer
    default:
      return hostile[kind].apply(answer, value)
  }
}
