import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { faultKinds } from '../../src/simulator/faults.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
export const readPage = (path: string): string => readFileSync(join(root, path), 'utf8')

/** A test that a page names: `` `test/a.test.ts` “its title”, “another” ``. */
export interface Citation {
  readonly file: string
  readonly title: string
}

export const citationsIn = (text: string): readonly Citation[] =>
  [...text.matchAll(/`(test\/[^`]+)`((?: “[^”]+”,?)+)/g)].flatMap(([, file, titles]) =>
    [...titles!.matchAll(/“([^”]+)”/g)].map(([, title]) => ({ file: file!, title: title! })),
  )

/** The texts that stand in quotes of their own in a test file, and in the contracts it runs. */
function textsIn(file: string): ReadonlySet<string> {
  const source = readPage(file)
  const contracts = [...source.matchAll(/from '([./]+src\/testing\/[^']+)'/g)].map(([, path]) =>
    readPage(join(dirname(file), path!)),
  )
  const texts = new Set<string>()
  for (const text of [source, ...contracts])
    for (const [, , quoted] of text.matchAll(/(['"`])((?:\\.|(?!\1)[^\\\n])+)\1/g)) texts.add(quoted!)
  // The hostile contract has a test for each kind of fault the simulator knows.
  if (contracts.some((text) => text.includes('faultKinds()')))
    for (const kind of faultKinds()) texts.add(kind)
  return texts
}

const texts = new Map<string, ReadonlySet<string>>()

/** Whether there is such a file, and a test or a row of its table has that title, whole. */
export function holds({ file, title }: Citation): boolean {
  if (!existsSync(join(root, file))) return false
  const known = texts.get(file) ?? textsIn(file)
  texts.set(file, known)
  return known.has(title)
}
