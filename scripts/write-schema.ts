/** Writes `docs/everybar.schema.json` from the schema in force. A test fails while the two differ. */
import { writeFileSync } from 'node:fs'
import { configJsonSchema } from '../src/config/print.ts'

const file = new URL('../docs/everybar.schema.json', import.meta.url)
writeFileSync(file, `${JSON.stringify(configJsonSchema(), null, 2)}\n`)
