/** Builds `dist/` from `src/`: what `npm ci` runs, and what the published package holds. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
if (!existsSync(`${root}/src`)) process.exit(0) // an installed package has its dist already
rmSync(`${root}/dist`, { recursive: true, force: true })
const tsc = spawnSync(
  process.execPath,
  [`${root}/node_modules/typescript/bin/tsc`, '-p', 'tsconfig.build.json'],
  {
    cwd: root,
    stdio: 'inherit',
  },
)
if (tsc.status !== 0) process.exit(tsc.status ?? 1)
// Data files (calendars, schemas) travel beside the code that reads them.
cpSync(`${root}/src`, `${root}/dist`, {
  recursive: true,
  filter: (from) => !/\.[^/]*$/.test(from.slice(root.length)) || from.endsWith('.json'),
})
