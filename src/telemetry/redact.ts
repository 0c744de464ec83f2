const REDACTED = '[redacted]'

/** Names of fields whose values nobody may see. */
const secretName =
  /pass(?:word|wd|phrase)?$|secret|token$|api[-_]?key|authorization|cookie|signature|credential|private[-_]?key/i

/** Parameters of a URL that carry secrets. */
const secretParameter = /([?&](?:signature|api_?key|access_?token|token|secret|password|key)=)[^&#\s"']*/gi
const userInfo = /\/\/[^\s/?#@"']+@/g

/** Text without the passwords and tokens that URLs in it may carry. */
export const redactText = (text: string): string =>
  text.replace(userInfo, `//${REDACTED}@`).replace(secretParameter, `$1${REDACTED}`)

/** A copy for printing: fields with a secret's name are blanked, texts are cleaned, errors become their message. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value === 'bigint') return value.toString()
  if (value === null || typeof value !== 'object') return value
  if (depth > 8) return '…'
  if (value instanceof Error) {
    const code = 'code' in value && typeof value.code === 'string' ? { code: value.code } : {}
    return { ...code, message: redactText(value.message) }
  }
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      secretName.test(name) && item !== null && item !== undefined ? REDACTED : redact(item, depth + 1),
    ]),
  )
}
