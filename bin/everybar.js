#!/usr/bin/env node
// Starts everybar on the Node it needs. Plain JavaScript for Node 18 and later: it has to run where everybar cannot.
import { existsSync, readFileSync } from 'node:fs'
import * as module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NODE_NEEDED = 24
const LAUNCHER_FD = 'EVERYBAR_LAUNCHER_FD'
const self = fileURLToPath(import.meta.url)
const main = new URL('../dist/cli/main.js', import.meta.url)
const args = process.argv.slice(2)

const nodeMajor = (version) => Number.parseInt(version, 10)

/** Help and version need nothing of the newer Node, and a second start would take most of their time. */
function asksForHelpOnly() {
  const end = args.indexOf('--')
  const flags = end === -1 ? args : args.slice(0, end)
  return (
    args.length === 0 || args[0] === 'help' || flags.some((arg) => /^(-h|--help|-V|--version)$/.test(arg))
  )
}

/** The npm package `node`, in this package's own modules or in those of a folder around it. */
function findNode() {
  const file = process.platform === 'win32' ? 'node.exe' : 'node'
  for (let folder = dirname(dirname(self)); ; folder = dirname(folder)) {
    const found = join(folder, 'node_modules', 'node')
    try {
      const { version } = JSON.parse(readFileSync(join(found, 'package.json'), 'utf8'))
      if (nodeMajor(version) >= NODE_NEEDED && existsSync(join(found, 'bin', file)))
        return join(found, 'bin', file)
    } catch {
      // Not here.
    }
    if (folder === dirname(folder)) return undefined
  }
}

/**
 * Runs this file again under `node`. The pipe is the child's life line: it ends when this process does, however it
 * ends, and the child then ends at once. Signals travel through it, so that the child can tell one Ctrl-C, which the
 * terminal sends to both, from two.
 */
async function runUnder(node) {
  const { spawn } = await import('node:child_process')
  const child = spawn(node, [self, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [LAUNCHER_FD]: '3' },
  })
  const lifeLine = child.stdio[3]
  lifeLine.on('error', () => {}) // the child has ended already
  let signals = 0
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      if (++signals > 2) child.kill('SIGKILL')
      else lifeLine.write(`${signal}\n`)
    })
  }
  child.on('error', (error) => fail(`cannot run ${node}: ${error.message}`))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

function fail(message) {
  process.stderr.write(
    `error[cli.node-too-old] ${message}\nhint: npm install node@${NODE_NEEDED} puts a Node of its own beside everybar.\n`,
  )
  process.exit(2)
}

const newEnough = nodeMajor(process.versions.node) >= NODE_NEEDED
if (!existsSync(main)) {
  process.stderr.write('error[cli.not-built] everybar is not built\nhint: npm run build\n')
  process.exit(1)
} else if (newEnough || asksForHelpOnly()) {
  module.enableCompileCache?.() // Node 22.1 and later
  await import(main)
} else if (process.env[LAUNCHER_FD] === undefined) {
  const node = findNode()
  if (node) await runUnder(node)
  else fail(`everybar needs Node ${NODE_NEEDED} or later, and this is ${process.versions.node}`)
} else {
  fail(`everybar needs Node ${NODE_NEEDED} or later`)
}
