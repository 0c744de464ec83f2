// Makes the optional drivers that the image ships plain dependencies, at the versions the lock pins: `npm ci --omit=dev`
// then installs them and leaves out everything that only builds and tests.
import { readFileSync, writeFileSync } from 'node:fs'

const shipped = ['ccxt', 'pg', 'pg-copy-streams', '@google-cloud/bigquery']

const read = (file) => JSON.parse(readFileSync(file, 'utf8'))
const write = (file, value) => writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`)

const manifest = read('package.json')
const lock = read('package-lock.json')
for (const holder of [manifest, lock.packages['']]) {
  for (const name of shipped) {
    const version = holder.devDependencies[name]
    if (version === undefined) throw new Error(`${name} is no dev dependency: nothing pins its version`)
    holder.dependencies[name] = version
    delete holder.devDependencies[name]
    delete holder.peerDependencies?.[name]
    delete holder.peerDependenciesMeta?.[name]
  }
}

// What they need in turn is marked `dev` in the lock, and would be left out.
const packages = lock.packages
const resolve = (from, name) => {
  for (let at = from; ; at = at.slice(0, at.lastIndexOf('node_modules/')).replace(/\/$/, '')) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`
    if (packages[path]) return path
    if (at === '') return undefined
  }
}
const queue = shipped.map((name) => `node_modules/${name}`)
for (const seen = new Set(); queue.length > 0; ) {
  const path = queue.pop()
  if (path === undefined || seen.has(path)) continue
  seen.add(path)
  const entry = packages[path]
  if (!entry) continue
  delete entry.dev
  delete entry.devOptional
  for (const name of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) {
    queue.push(resolve(path, name))
  }
}

write('package.json', manifest)
write('package-lock.json', lock)
