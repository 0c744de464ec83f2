/**
 * Builds `dist/` from `src/`: what `npm ci` runs, and what the published package holds. `node scripts/build.ts FOLDER`
 * builds elsewhere.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, globSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = resolve(process.argv[2] ?? join(root, 'dist'))
if (!existsSync(join(root, 'src'))) process.exit(0) // an installed package has its dist already
rmSync(dist, { recursive: true, force: true })
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', dist], {
  cwd: root,
  stdio: 'inherit',
})
if (status !== 0) process.exit(status ?? 1)
// Data files (calendars, schemas) travel beside the code that reads them.
for (const file of globSync('**/*.json', { cwd: join(root, 'src') })) {
  cpSync(join(root, 'src', file), join(dist, file))
}
