/**
 * How long help, version and a small command take, beside `node -e 0`: medians of 20 runs each, in ms, for this Node
 * and for every other named on the command line: `node bench/startup.ts /usr/bin/node`. Needs a build.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { report } from './figure.ts'

const RUNS = 20
const launcher = fileURLToPath(new URL('../bin/everybar.js', import.meta.url))

function medianMs(node: string, args: readonly string[]): number {
  const times = Array.from({ length: RUNS }, () => {
    const startedMs = performance.now()
    spawnSync(node, args, { stdio: 'ignore' })
    return performance.now() - startedMs
  })
  return times.sort((a, b) => a - b)[RUNS / 2]!
}

for (const node of [process.execPath, ...process.argv.slice(2).filter((arg) => arg.startsWith('/'))]) {
  const base = medianMs(node, ['-e', '0'])
  const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
  console.error(`${version}: node -e 0 takes ${base.toFixed(1)} ms`)
  for (const args of [['--help'], ['--version'], ['sync', '--help'], ['config', 'print']]) {
    const more = medianMs(node, [launcher, ...args]) - base
    console.error(`  everybar ${args.join(' ')}: ${more.toFixed(1)} ms more`)
    if (args[0] === '--help')
      report({
        figure: `everybar --help, Node ${version}`,
        ours: `${(base + more).toFixed(0)} ms`,
        peer: `node -e 0, ${base.toFixed(0)} ms`,
        ratio: more,
        target: { atMost: 60 },
      })
  }
}
