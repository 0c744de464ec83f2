import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = [
  ...globSync('*.md', { cwd: root }),
  ...globSync('{docs,examples}/**/*.md', { cwd: root }),
].sort()
const text = (page: string) => readFileSync(join(root, page), 'utf8')
const withoutCode = (markdown: string) =>
  markdown.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '`')

/** As GitHub makes them of headings. */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[`*]/g, '')
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
const anchors = (page: string) =>
  [...text(page).matchAll(/^#+ +(.*)$/gm)].map(([, heading]) => anchorOf(heading!))

function broken(page: string): string[] {
  const links = [...withoutCode(text(page)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)
  return links.filter((link) => {
    if (/^[a-z]+:/.test(link)) return false
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? join(root, page) : resolve(root, dirname(page), path)
    if (!existsSync(target)) return true
    return anchor !== undefined && !anchors(target.slice(root.length)).includes(anchor)
  })
}

describe('pages', () => {
  test('there are some', () => expect(pages).toContain('README.md'))
  test.each(pages)('%s: every relative link leads somewhere', (page) => expect(broken(page)).toEqual([]))

  test('decisions are numbered without holes, each is in the index once, and the index names no other', () => {
    const files = pages
      .filter((page) => /^docs\/adr\/\d/.test(page))
      .map((page) => page.slice('docs/adr/'.length))
    const numbers = files.map((file) => Number(file.slice(0, 4)))
    expect(numbers).toEqual(numbers.map((_, i) => i + 1))
    for (const [i, file] of files.entries())
      expect(text(`docs/adr/${file}`)).toMatch(new RegExp(`^# ${i + 1}\\. `))
    const named = [...text('docs/adr/README.md').matchAll(/\]\((\d[^)]*)\)/g)].map(([, file]) => file)
    expect(named).toEqual(files)
  })

  test('every source file that documents name is there', () => {
    const missing = pages.flatMap((page) =>
      [...text(page).matchAll(/`((?:src|test|scripts|bin|examples)\/[\w./-]+\.(?:ts|js))`/g)]
        .filter(([, file]) => !existsSync(join(root, file!)))
        .map(([, file]) => `${page}: ${file}`),
    )
    expect(missing).toEqual([])
  })
})
