import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from '@duckdb/node-api'

/** An error as the API words it. */
export class ApiFault extends Error {
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

export interface FieldJson {
  readonly name: string
  readonly type: string
  readonly mode?: string
}

export interface TableJson {
  schema?: { fields: FieldJson[] }
  timePartitioning?: { type: string; field?: string; expirationMs?: string }
  clustering?: { fields: string[] }
  labels?: Record<string, string>
  expirationTime?: string
  [key: string]: unknown
}

interface TableState {
  metadata: TableJson
  /** Rows were streamed in a while ago at most: no DML may touch the table. */
  streamed: boolean
  readonly insertIds: Set<string>
}

export interface QueryParameter {
  readonly name: string
  readonly parameterType: { readonly type: string }
  readonly parameterValue: { readonly value: string }
}

export interface Answer {
  readonly fields: FieldJson[]
  readonly rows: (string | null)[][]
  readonly dml?: { readonly inserted: number; readonly updated: number; readonly deleted: number }
}

const PARTITIONS_PER_JOB = 4_000
const duckTypes: Record<string, string> = {
  TIMESTAMP: 'TIMESTAMP',
  STRING: 'VARCHAR',
  FLOAT: 'DOUBLE',
  FLOAT64: 'DOUBLE',
  INTEGER: 'BIGINT',
  INT64: 'BIGINT',
}
const bigTypes: Record<string, string> = {
  TIMESTAMP: 'TIMESTAMP',
  VARCHAR: 'STRING',
  DOUBLE: 'FLOAT',
  BIGINT: 'INTEGER',
}

/** BigQuery's tables as far as a store needs them, kept in DuckDB, with BigQuery's refusals. */
export class BigQueryTables {
  readonly #project: string
  readonly #connection: DuckDBConnection
  readonly #close: () => void
  readonly datasets = new Map<string, { location: string }>()
  readonly #tables = new Map<string, TableState>()
  /** One statement at a time, like transactions of one database. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(project: string, connection: DuckDBConnection, close: () => void) {
    this.#project = project
    this.#connection = connection
    this.#close = close
  }

  static async open(project: string): Promise<BigQueryTables> {
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
    const connection = await instance.connect()
    await connection.run(`
      CREATE MACRO unix_millis(t) AS epoch_ms(t);
      CREATE MACRO unix_micros(t) AS epoch_us(t);
      CREATE MACRO timestamp_millis(ms) AS make_timestamp((ms * 1000)::BIGINT);
      CREATE MACRO timestamp_micros(us) AS make_timestamp(us::BIGINT)`)
    return new BigQueryTables(project, connection, () => {
      connection.closeSync()
      instance.closeSync()
    })
  }

  close(): void {
    this.#close()
  }

  createDataset(id: string, location: string): Promise<void> {
    return this.#turn(async () => {
      if (this.datasets.has(id)) throw new ApiFault(409, 'duplicate', `Already Exists: Dataset ${id}`)
      this.datasets.set(id, { location })
      await this.#connection.run(`CREATE SCHEMA "${id}"`)
    })
  }

  createTable(dataset: string, id: string, metadata: TableJson): Promise<void> {
    return this.#turn(async () => {
      this.#dataset(dataset)
      if (this.#tables.has(`${dataset}.${id}`))
        throw new ApiFault(409, 'duplicate', `Already Exists: Table ${id}`)
      const fields = metadata.schema?.fields ?? []
      const columns = fields.map(({ name, type }) => `"${name}" ${duckType(type)}`)
      await this.#connection.run(`CREATE TABLE "${dataset}"."${id}" (${columns.join(', ')})`)
      this.#tables.set(`${dataset}.${id}`, { metadata, streamed: false, insertIds: new Set() })
    })
  }

  tableJson(dataset: string, id: string): Promise<TableJson> {
    return this.#turn(async () => {
      const { metadata } = this.#table(dataset, id)
      const counted = await this.#connection.runAndReadAll(
        `SELECT count(*)::VARCHAR FROM "${dataset}"."${id}"`,
      )
      return { ...metadata, numRows: String(counted.getRows()[0]![0]) }
    })
  }

  /** Columns may be added at the end; partitioning and clustering never change. */
  patchTable(dataset: string, id: string, change: TableJson): Promise<void> {
    return this.#turn(async () => {
      const state = this.#table(dataset, id)
      for (const fixed of ['timePartitioning', 'clustering'] as const) {
        if (change[fixed] && JSON.stringify(change[fixed]) !== JSON.stringify(state.metadata[fixed])) {
          throw new ApiFault(400, 'invalid', `Cannot change partitioning/clustering of table ${id}.`)
        }
      }
      const before = state.metadata.schema?.fields ?? []
      const after = change.schema?.fields ?? before
      before.forEach((field, i) => {
        if (after[i]?.name !== field.name || after[i]?.type !== field.type) {
          throw new ApiFault(
            400,
            'invalid',
            `Provided Schema does not match Table ${id}. Field ${field.name} changed.`,
          )
        }
      })
      for (const { name, type, mode } of after.slice(before.length)) {
        if (mode === 'REQUIRED') throw new ApiFault(400, 'invalid', `Cannot add required column ${name}.`)
        await this.#connection.run(`ALTER TABLE "${dataset}"."${id}" ADD COLUMN "${name}" ${duckType(type)}`)
      }
      const labels = { ...state.metadata.labels, ...change.labels }
      state.metadata = { ...state.metadata, ...change, labels }
    })
  }

  deleteTable(dataset: string, id: string): Promise<void> {
    return this.#turn(async () => {
      this.#table(dataset, id)
      this.#tables.delete(`${dataset}.${id}`)
      await this.#connection.run(`DROP TABLE "${dataset}"."${id}"`)
    })
  }

  tableIds(dataset: string): string[] {
    return [...this.#tables.keys()]
      .filter((key) => key.startsWith(`${dataset}.`))
      .map((key) => key.slice(dataset.length + 1))
  }

  /** Forgets insert ids, as BigQuery does after a minute or when it feels like it. */
  forgetInsertIds(): void {
    for (const { insertIds } of this.#tables.values()) insertIds.clear()
  }

  /** Streams rows that were found sound. */
  streamRows(
    dataset: string,
    id: string,
    rows: readonly { insertId?: string; json: Record<string, unknown> }[],
  ): Promise<void> {
    return this.#turn(async () => {
      const state = this.#table(dataset, id)
      state.streamed = true
      const names = (state.metadata.schema?.fields ?? []).map(({ name }) => name)
      const fresh = rows.filter(({ insertId }) => insertId === undefined || !state.insertIds.has(insertId))
      for (const { insertId, json } of fresh) {
        if (insertId !== undefined) state.insertIds.add(insertId)
        const values = names.map((name) => literal(json[name]))
        await this.#connection.run(`INSERT INTO "${dataset}"."${id}" VALUES (${values.join(', ')})`)
      }
    })
  }

  fieldsOf(dataset: string, id: string): readonly FieldJson[] {
    return this.#table(dataset, id).metadata.schema?.fields ?? []
  }

  loadParquet(
    dataset: string,
    id: string,
    bytes: Buffer,
    { writeDisposition, schema }: { writeDisposition?: string; schema?: { fields: FieldJson[] } },
  ): Promise<number> {
    return this.#turn(async () => {
      const fields = this.#table(dataset, id).metadata.schema?.fields ?? []
      const dir = await mkdtemp(join(tmpdir(), 'everybar-bq-'))
      try {
        await writeFile(join(dir, 'load.parquet'), bytes)
        const source = `read_parquet('${dir}/load.parquet')`
        await this.#checkColumns(source, schema?.fields ?? fields, id)
        const table = `"${dataset}"."${id}"`
        const counted = await this.#connection.runAndReadAll(`SELECT count(*) FROM ${table}`)
        if (writeDisposition === 'WRITE_EMPTY' && counted.getRows()[0]![0] !== 0n) {
          throw new ApiFault(400, 'duplicate', `Already Exists: Table ${id}`)
        }
        if (writeDisposition === 'WRITE_TRUNCATE') await this.#connection.run(`DELETE FROM ${table}`)
        const inserted = await this.#connection.run(`INSERT INTO ${table} BY NAME SELECT * FROM ${source}`)
        return inserted.rowsChanged
      } finally {
        await rm(dir, { recursive: true, force: true })
      }
    })
  }

  async #checkColumns(source: string, fields: readonly FieldJson[], id: string): Promise<void> {
    const described = await this.#connection
      .runAndReadAll(`DESCRIBE SELECT * FROM ${source}`)
      .catch((error: Error) => {
        throw new ApiFault(400, 'invalid', `Error while reading data: ${error.message}`)
      })
    for (const [name, type] of described.getRows() as [string, string][]) {
      const field = fields.find((one) => one.name === name)
      if (!field)
        throw new ApiFault(
          400,
          'invalid',
          `Provided Schema does not match Table ${id}. Cannot add fields (field: ${name})`,
        )
      if (duckType(field.type) !== type) {
        throw new ApiFault(
          400,
          'invalid',
          `Parquet column '${name}' has type ${type} which does not match the target type ${field.type}`,
        )
      }
    }
  }

  /** Runs a statement: a query, or a MERGE. */
  run(sql: string, parameters: readonly QueryParameter[]): Promise<Answer> {
    return this.#turn(async () => {
      const statement = this.#translate(sql)
      const values = Object.fromEntries(
        parameters
          .filter(({ name }) => statement.includes(`$p_${name}`))
          .map(({ name, parameterType, parameterValue }): [string, DuckDBValue] => {
            const { value } = parameterValue
            return [
              `p_${name}`,
              parameterType.type === 'INT64'
                ? BigInt(value)
                : parameterType.type === 'FLOAT64'
                  ? Number(value)
                  : value,
            ]
          }),
      )
      try {
        return /^\s*MERGE\b/i.test(sql)
          ? await this.#merge(statement, values)
          : await this.#select(statement, values)
      } catch (error) {
        if (error instanceof ApiFault) throw error
        throw new ApiFault(400, 'invalidQuery', (error as Error).message)
      }
    })
  }

  async #select(statement: string, values: Record<string, DuckDBValue>): Promise<Answer> {
    const result = await this.#connection.runAndReadAll(statement, values)
    const fields = result
      .columnNames()
      .map((name, i) => ({ name, type: bigTypes[String(result.columnType(i))] ?? 'STRING' }))
    const rows = result.getRows().map((row) => row.map((value) => (value === null ? null : String(value))))
    return { fields, rows }
  }

  async #merge(statement: string, values: Record<string, DuckDBValue>): Promise<Answer> {
    const [, dataset, id] = /^\s*MERGE\s+"([^"]+)"\."([^"]+)"/i.exec(statement) ?? []
    const target = this.#table(dataset ?? '', id ?? '')
    if (target.streamed) {
      throw new ApiFault(
        400,
        'invalidQuery',
        `UPDATE or DELETE statement over table ${dataset}.${id} would affect rows in the streaming buffer, which is not supported`,
      )
    }
    await this.#connection.run('BEGIN')
    try {
      const merge = statement.replace(/^\s*MERGE\s/i, 'MERGE INTO ')
      const result = await this.#connection.runAndReadAll(
        `${merge} RETURNING merge_action, "timestamp"`,
        values,
      )
      const rows = result.getRows() as [string, { toString(): string }][]
      const days = new Set(rows.map(([, time]) => time.toString().slice(0, 10)))
      if (target.metadata.timePartitioning && days.size > PARTITIONS_PER_JOB) {
        throw new ApiFault(
          400,
          'invalidQuery',
          `Too many partitions produced by query, allowed ${PARTITIONS_PER_JOB}, query produces at least ${days.size} partitions`,
        )
      }
      await this.#connection.run('COMMIT')
      const count = (action: string) => rows.filter(([done]) => done === action).length
      return {
        fields: [],
        rows: [],
        dml: { inserted: count('INSERT'), updated: count('UPDATE'), deleted: count('DELETE') },
      }
    } catch (error) {
      await this.#connection.run('ROLLBACK')
      throw error
    }
  }

  /** Names in backticks, `@` parameters: what differs between the two dialects in what stores write. */
  #translate(sql: string): string {
    return sql
      .replace(/`([^`]*)`/g, (_, name: string) => {
        const [project, dataset, table, ...more] = name.split('.')
        if (dataset === undefined) return `"${name}"`
        if (table === undefined || more.length > 0 || project !== this.#project) {
          throw new ApiFault(404, 'notFound', `Not found: ${name}`)
        }
        this.#table(dataset, table)
        return `"${dataset}"."${table}"`
      })
      .replace(/@(\w+)/g, (_, name: string) => `$p_${name}`)
  }

  #dataset(id: string): { location: string } {
    const dataset = this.datasets.get(id)
    if (!dataset) throw new ApiFault(404, 'notFound', `Not found: Dataset ${this.#project}:${id}`)
    return dataset
  }

  #table(dataset: string, id: string): TableState {
    this.#dataset(dataset)
    const table = this.#tables.get(`${dataset}.${id}`)
    if (!table) throw new ApiFault(404, 'notFound', `Not found: Table ${this.#project}:${dataset}.${id}`)
    return table
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}

function duckType(type: string): string {
  const found = duckTypes[type]
  if (!found) throw new ApiFault(400, 'invalid', `Invalid type ${type}`)
  return found
}

function literal(value: unknown): string {
  if (value === undefined || value === null) return 'NULL'
  if (typeof value === 'number') return `${value}::DOUBLE`
  return `'${String(value).replaceAll("'", "''").replace(/Z$/, '')}'`
}
