/**
 * Every figure beside its peer, each bench in a process of its own, as one table: `npm run bench`. `-- --only pipeline`
 * runs one (a comma between several), `--rounds 1` fewer rounds, `--list` names them; any other number a bench knows goes
 * with `--only` of it: `--only pipeline --bars 500000`. Exit 1 when a bench broke, not when a target was missed.
 */
import { fork } from 'node:child_process'
import { cpus, loadavg, totalmem } from 'node:os'
import { head, isMet, type Line, rowOf } from './figure.ts'
import { file } from './processes.ts'

const benches = [
  ...['pipeline', 'flat-memory', 'rate-limit', 'page-planning', 'verify', 'no-op'],
  ...['ledger', 'archive', 'startup', 'stores', 'layout', 'replay', 'loader'],
] as const

const args = process.argv.slice(2)
const take = (flag: string): string | undefined => {
  const at = args.indexOf(flag)
  return at < 0 ? undefined : args.splice(at, 2)[1]
}

/** Lines of one bench, which says on stderr how it goes. */
async function linesOf(name: string): Promise<Line[]> {
  const lines: Line[] = []
  console.error(`${name}:`)
  const child = fork(file(`${name}.ts`), args, {
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  child.on('message', (line: Line) => {
    lines.push(line)
    console.error(`  ${rowOf(line).join(' | ')}`)
  })
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  if (code !== 0) {
    console.error(`${name} ended with ${code}`)
    process.exitCode = 1
  }
  return lines
}

function print(lines: readonly Line[]): void {
  const [cpu] = cpus()
  const memory = Math.round(totalmem() / 1e9)
  console.log(
    `${cpus().length} cores (${cpu?.model.trim()}), ${memory} GB, Node ${process.versions.node}, ` +
      `load ${loadavg()[0]!.toFixed(1)} at the end\n`,
  )
  console.log(`| ${head.join(' | ')} |\n|${head.map(() => '---').join('|')}|`)
  for (const line of lines) console.log(`| ${rowOf(line).join(' | ')} |`)
  const missed = lines.filter((line) => !isMet(line)).length
  console.log(`\n${lines.length} figures, ${missed} missed`)
}

if (args.includes('--list')) {
  console.log(benches.join('\n'))
} else {
  const named = take('--only')?.split(',') ?? [...benches]
  const unknown = named.filter((name) => !(benches as readonly string[]).includes(name))
  if (unknown.length > 0) throw new Error(`no bench ${unknown.join(', ')}; --list names them`)
  const lines: Line[] = []
  for (const name of named) lines.push(...(await linesOf(name)))
  print(lines)
}
