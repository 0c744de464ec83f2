/** The local BigQuery of the tests in a process of its own, so that what it holds is not counted: says `URL`. */
import { startBigQuery } from '../../test/support/bigquery-server.ts'

const server = await startBigQuery('bench')
console.log(server.url)
