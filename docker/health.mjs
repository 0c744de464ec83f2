// Is the collector alive? `live` and `serve` say so themselves, on loopback; any other command is judged by what it last
// wrote.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const { env } = process
const url = env.EVERYBAR_HEALTH_URL || `http://127.0.0.1:${env.EVERYBAR__SERVE__PORT || 8080}/livez`
const staleSeconds = Number(env.EVERYBAR_HEALTH_STALE_SECONDS) || 900

function newestMs(folder) {
  try {
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).mtimeMs))
  } catch {
    return 0
  }
}

try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(5_000) })
  console.log(`${url} answered ${answer.status}`)
  process.exitCode = answer.ok ? 0 : 1
} catch (error) {
  if (error.cause?.code !== 'ECONNREFUSED') {
    console.log(`${url}: ${error.message}`)
    process.exitCode = 1
  } else {
    const root = env.EVERYBAR_DATA_ROOT || '/data'
    const age = (Date.now() - newestMs(join(root, '.everybar'))) / 1_000
    console.log(`nothing listens; ${root}/.everybar last changed ${Math.round(age)} s ago`)
    process.exitCode = age <= staleSeconds ? 0 : 1
  }
}
