import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** Builds the command line that the end-to-end tests run: built code starts in half the time of its sources. */
export function setup(): void {
  const build = fileURLToPath(new URL('../scripts/build.ts', import.meta.url))
  execFileSync(process.execPath, [build], { stdio: 'inherit' })
}
