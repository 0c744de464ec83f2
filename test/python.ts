import { execFileSync } from 'node:child_process'

/** A Python with pandas and pyarrow: `EVERYBAR_PYTHON`, else `python3`. */
const python = process.env.EVERYBAR_PYTHON ?? 'python3'

/** Why the checks in Python are skipped; `undefined` when they are not. */
export const noPython: string | undefined = (() => {
  try {
    execFileSync(python, ['-c', 'import pandas, pyarrow'], { stdio: 'ignore' })
    return undefined
  } catch {
    return `${python} has no pandas and pyarrow (set EVERYBAR_PYTHON to one that has)`
  }
})()

/** Runs a script and gives what it prints, as JSON. */
export function inPython(script: string, ...args: string[]): unknown {
  return JSON.parse(execFileSync(python, ['-c', script, ...args], { encoding: 'utf8' }))
}
