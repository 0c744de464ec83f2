import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { gunzipSync } from 'node:zlib'
import {
  type Answer,
  ApiFault,
  BigQueryTables,
  type FieldJson,
  type QueryParameter,
  type TableJson,
} from './bigquery-tables.ts'

/** A failure to come: of the calls that match, the next `times` (1 unless said). */
export interface Planned {
  readonly call: RegExp
  readonly status?: number
  readonly reason?: string
  readonly times?: number
  /** The deed is done and the answer lost, or the connection is cut before. */
  readonly drop?: 'before' | 'after'
}

/** The part of BigQuery's REST API a store uses, on localhost, backed by DuckDB; refuses what the real one refuses. */
export interface BigQueryServer {
  readonly url: string
  readonly project: string
  readonly tables: BigQueryTables
  /** `POST /projects/p/jobs` and so on, in order. */
  readonly calls: string[]
  fail(planned: Planned): void
  /** Rows that `insertAll` refuses, and why. */
  refuseRow: (json: Record<string, unknown>) => string | undefined
  /** How the next statements that change a table, and the next load jobs, end, although they were taken. */
  readonly failingMerges: ApiFault[]
  readonly failingLoads: ApiFault[]
  /** How many polls a job is said to be running for. */
  runningPolls: number
  close(): Promise<void>
}

interface JobState {
  readonly metadata: Record<string, unknown>
  readonly answer?: Answer
  polls: number
}

type Json = Record<string, unknown>
interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly body: Buffer
  readonly contentType: string
}

const REQUEST_BYTES_MAX = 10_000_000
const ROWS_MAX = 50_000
const INSERT_ID_MAX = 128

export async function startBigQuery(project = 'test-project'): Promise<BigQueryServer> {
  const tables = await BigQueryTables.open(project)
  const jobs = new Map<string, JobState>()
  const planned: (Planned & { left: number })[] = []
  const state: BigQueryServer = {
    url: '',
    project,
    tables,
    calls: [],
    fail: (one) => void planned.push({ ...one, left: one.times ?? 1 }),
    refuseRow: () => undefined,
    failingMerges: [],
    failingLoads: [],
    runningPolls: 0,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      tables.close()
    },
  }
  const server = createServer((request, response) => {
    void answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = await readCall(request)
    const name = `${call.method} ${call.path}`
    state.calls.push(name)
    const failure = planned.find((one) => one.left > 0 && one.call.test(name))
    if (failure) failure.left--
    try {
      if (failure?.drop === 'before') return void response.destroy()
      if (failure && failure.drop === undefined)
        throw new ApiFault(failure.status ?? 503, failure.reason ?? 'backendError', 'planned failure')
      const json = await route(state, jobs, call)
      if (failure?.drop === 'after') return void response.destroy()
      send(response, 200, json)
    } catch (error) {
      const { status, reason, message } =
        error instanceof ApiFault ? error : new ApiFault(500, 'internalError', String(error))
      send(response, status, {
        error: { code: status, message, errors: [{ reason, message, domain: 'global' }] },
      })
    }
  }
  return Object.assign(state, { url: `http://127.0.0.1:${port}` })
}

function send(response: ServerResponse, status: number, json: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(json))
}

async function readCall(request: IncomingMessage): Promise<Call> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const raw = Buffer.concat(chunks)
  const url = new URL(request.url ?? '/', 'http://localhost')
  return {
    method: request.method ?? 'GET',
    path: url.pathname.replace('/bigquery/v2', ''),
    query: url.searchParams,
    body: request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw,
    contentType: request.headers['content-type'] ?? '',
  }
}

async function route(state: BigQueryServer, jobs: Map<string, JobState>, call: Call): Promise<unknown> {
  const { method, path } = call
  const json = () => JSON.parse(call.body.toString() || '{}') as Json
  const base = `/projects/${state.project}`
  if (path === `/upload${base}/jobs` && method === 'POST') return loadJob(state, jobs, call)
  if (!path.startsWith(base)) throw new ApiFault(404, 'notFound', `Not found: Project of ${path}`)
  const parts = path.slice(base.length).split('/').filter(Boolean)
  const [kind, id, inner, table, action] = parts
  if (kind === 'jobs' && !id && method === 'POST') return queryJob(state, jobs, json())
  if (kind === 'jobs' && id) return pollJob(state, jobs, id)
  if (kind === 'queries' && id) return queryResults(jobs, id, call.query)
  if (kind === 'datasets') return datasetCall(state, method, [id, inner, table, action], call, json)
  throw new ApiFault(404, 'notFound', `No such method: ${method} ${path}`)
}

async function datasetCall(
  state: BigQueryServer,
  method: string,
  [id, inner, table, action]: (string | undefined)[],
  call: Call,
  json: () => Json,
): Promise<unknown> {
  const { tables, project } = state
  if (!id) {
    const { datasetReference, location = 'US' } = json() as {
      datasetReference: { datasetId: string }
      location?: string
    }
    await tables.createDataset(datasetReference.datasetId, location)
    return json()
  }
  if (!inner) {
    const dataset = tables.datasets.get(id)
    if (!dataset) throw new ApiFault(404, 'notFound', `Not found: Dataset ${project}:${id}`)
    return { datasetReference: { projectId: project, datasetId: id }, ...dataset }
  }
  if (!table) {
    const body = json() as TableJson & { tableReference: { tableId: string } }
    await tables.createTable(id, body.tableReference.tableId, body)
    return body
  }
  if (action === 'insertAll') return insertAll(state, id, table, call)
  if (method === 'GET') return tables.tableJson(id, table)
  if (method === 'DELETE') return tables.deleteTable(id, table).then(() => ({}))
  if (method === 'PATCH') {
    await tables.patchTable(id, table, json() as TableJson)
    return tables.tableJson(id, table)
  }
  throw new ApiFault(404, 'notFound', `No such method: ${method} on ${table}`)
}

async function insertAll(
  state: BigQueryServer,
  dataset: string,
  table: string,
  { body }: Call,
): Promise<unknown> {
  if (body.length > REQUEST_BYTES_MAX)
    throw new ApiFault(413, 'requestTooLarge', 'Request payload size exceeds the limit: 10485760 bytes.')
  const { rows, skipInvalidRows } = JSON.parse(body.toString()) as {
    rows: { insertId?: string; json: Json }[]
    skipInvalidRows?: boolean
  }
  if (rows.length > ROWS_MAX)
    throw new ApiFault(
      400,
      'invalid',
      `too many rows present in the request, limit: ${ROWS_MAX} row count: ${rows.length}.`,
    )
  const fields = state.tables.fieldsOf(dataset, table)
  const faults = rows.map((row) => rowFault(row, fields) ?? refusal(state.refuseRow(row.json)))
  const sound = rows.filter((_, i) => faults[i] === undefined)
  const allBad = sound.length < rows.length && !skipInvalidRows
  if (!allBad) await state.tables.streamRows(dataset, table, sound)
  const insertErrors = faults.flatMap((fault, index) => {
    if (fault) return [{ index, errors: [fault] }]
    return allBad ? [{ index, errors: [{ reason: 'stopped', location: '', message: '' }] }] : []
  })
  return { kind: 'bigquery#tableDataInsertAllResponse', ...(insertErrors.length > 0 && { insertErrors }) }
}

const refusal = (reason: string | undefined) =>
  reason === undefined ? undefined : { reason, location: '', message: `refused: ${reason}` }

function rowFault({ insertId, json }: { insertId?: string; json: Json }, fields: readonly FieldJson[]) {
  const invalid = (location: string, message: string) => ({ reason: 'invalid', location, message })
  if ((insertId?.length ?? 0) > INSERT_ID_MAX) return invalid('', 'insertId is too long')
  for (const [name, value] of Object.entries(json)) {
    const field = fields.find((one) => one.name === name)
    if (!field) return invalid(name, `no such field: ${name}.`)
    const bad =
      (field.type === 'FLOAT' && typeof value !== 'number') ||
      (field.type === 'INTEGER' && !Number.isSafeInteger(value)) ||
      (field.type === 'STRING' && typeof value !== 'string') ||
      (field.type === 'TIMESTAMP' && Number.isNaN(Date.parse(String(value))))
    if (bad) return invalid(name, `Cannot convert value to ${field.type} (bad value): ${String(value)}`)
  }
  return undefined
}

interface JobReference {
  readonly jobId: string
  readonly location?: string
}

function addJob(
  jobs: Map<string, JobState>,
  reference: JobReference,
  statistics: Json,
  error?: ApiFault,
  answer?: Answer,
): Json {
  const fault = error && { reason: error.reason, message: error.message }
  const metadata = {
    jobReference: reference,
    statistics,
    status: { state: 'DONE', ...(fault && { errorResult: fault, errors: [fault] }) },
  }
  jobs.set(reference.jobId, { metadata, polls: 0, ...(answer && { answer }) })
  return metadata
}

function newJob(jobs: Map<string, JobState>, reference: JobReference): void {
  if (!/^[\w-]{1,1024}$/.test(reference.jobId))
    throw new ApiFault(400, 'invalid', `Invalid job ID "${reference.jobId}"`)
  if (jobs.has(reference.jobId))
    throw new ApiFault(409, 'duplicate', `Already Exists: Job ${reference.jobId}`)
}

async function queryJob(state: BigQueryServer, jobs: Map<string, JobState>, body: Json): Promise<unknown> {
  const { jobReference, configuration } = body as {
    jobReference: JobReference
    configuration: { query: { query: string; useLegacySql?: boolean; queryParameters?: QueryParameter[] } }
  }
  newJob(jobs, jobReference)
  const { query, queryParameters = [], useLegacySql } = configuration.query
  if (useLegacySql !== false) throw new ApiFault(400, 'invalid', 'legacy SQL')
  checkLocation(state, query, jobReference)
  try {
    const failure = /^\s*MERGE\b/i.test(query) ? state.failingMerges.shift() : undefined
    if (failure) throw failure
    const answer = await state.tables.run(query, queryParameters)
    const { inserted, updated, deleted } = answer.dml ?? {}
    const dmlStats = {
      insertedRowCount: String(inserted),
      updatedRowCount: String(updated),
      deletedRowCount: String(deleted),
    }
    return addJob(jobs, jobReference, { query: answer.dml ? { dmlStats } : {} }, undefined, answer)
  } catch (error) {
    if (!(error instanceof ApiFault)) throw error
    return addJob(jobs, jobReference, {}, error)
  }
}

/** A job runs where its data are, or does not find them. */
function checkLocation({ tables }: BigQueryServer, text: string, { location = 'US' }: JobReference): void {
  for (const [id, dataset] of tables.datasets) {
    if (text.includes(`.${id}.`) && dataset.location !== location) {
      throw new ApiFault(404, 'notFound', `Not found: Dataset ${id} was not found in location ${location}`)
    }
  }
}

async function loadJob(state: BigQueryServer, jobs: Map<string, JobState>, call: Call): Promise<unknown> {
  const [head, bytes] = multipart(call)
  const { jobReference, configuration } = JSON.parse(head.toString()) as {
    jobReference: JobReference
    configuration: {
      load: {
        destinationTable: { datasetId: string; tableId: string }
        sourceFormat?: string
        writeDisposition?: string
        schema?: { fields: FieldJson[] }
      }
    }
  }
  newJob(jobs, jobReference)
  const { destinationTable, sourceFormat, ...how } = configuration.load
  try {
    const failure = state.failingLoads.shift()
    if (failure) throw failure
    if (sourceFormat !== 'PARQUET')
      throw new ApiFault(400, 'invalid', `Unsupported source format ${sourceFormat}`)
    const rows = await state.tables.loadParquet(
      destinationTable.datasetId,
      destinationTable.tableId,
      bytes,
      how,
    )
    return addJob(jobs, jobReference, { load: { outputRows: String(rows) } })
  } catch (error) {
    if (!(error instanceof ApiFault)) throw error
    return addJob(jobs, jobReference, {}, error)
  }
}

/** The two parts of a multipart/related body. */
function multipart({ body, contentType }: Call): [Buffer, Buffer] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1]
  if (!boundary) throw new ApiFault(400, 'invalid', 'multipart boundary is missing')
  const parts: Buffer[] = []
  const mark = Buffer.from(`--${boundary}`)
  let at = body.indexOf(mark)
  for (;;) {
    const next = body.indexOf(mark, at + mark.length)
    if (at < 0 || next < 0) break
    const part = body.subarray(at + mark.length, next)
    parts.push(part.subarray(part.indexOf('\r\n\r\n') + 4, part.length - 2))
    at = next
  }
  if (parts.length !== 2) throw new ApiFault(400, 'invalid', `expected two parts, found ${parts.length}`)
  return [parts[0]!, parts[1]!]
}

function pollJob(state: BigQueryServer, jobs: Map<string, JobState>, id: string): unknown {
  const job = jobOf(jobs, id)
  if (++job.polls > state.runningPolls) return job.metadata
  return { ...job.metadata, status: { state: 'RUNNING' } }
}

function queryResults(jobs: Map<string, JobState>, id: string, query: URLSearchParams): unknown {
  const { answer } = jobOf(jobs, id)
  if (!answer) throw new ApiFault(400, 'invalid', `Job ${id} has no results`)
  const from = Number(query.get('pageToken') ?? 0)
  const to = from + Number(query.get('maxResults') ?? 100_000)
  return {
    jobComplete: true,
    schema: { fields: answer.fields },
    totalRows: String(answer.rows.length),
    rows: answer.rows.slice(from, to).map((row) => ({ f: row.map((v) => ({ v })) })),
    ...(to < answer.rows.length && { pageToken: String(to) }),
  }
}

function jobOf(jobs: Map<string, JobState>, id: string): JobState {
  const job = jobs.get(id)
  if (!job) throw new ApiFault(404, 'notFound', `Not found: Job ${id}`)
  return job
}
