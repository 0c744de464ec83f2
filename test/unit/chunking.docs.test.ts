import { runDocExamples } from '../run-doc-examples.ts'

runDocExamples('docs/chunking.md')
