import { EverybarError } from '../../model/errors.ts'
import type { HttpRequest, RawResponse } from '../../model/http.ts'
import { secretName } from './redact.ts'

/** Shorter ones would blank half of a text, and hide nothing. */
const LENGTH_MIN = 4

/**
 * What a request carries that nobody may see: the values of headers and of parameters whose names smell of it; of headers
 * without the word before them (`Basic`, `token`), whole and in their parts. As they stand and as JSON and URLs write them.
 */
function secretsOf({ headers = {}, url }: Pick<HttpRequest, 'headers' | 'url'>): readonly string[] {
  const forms = new Set<string>()
  const add = (secret: string) => {
    if (secret.length < LENGTH_MIN) return
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)])
      forms.add(form)
  }
  for (const [name, value] of Object.entries(headers)) {
    if (!secretName.test(name)) continue
    const bare = value.replace(/^\w+ +/, '')
    for (const part of [bare, ...bare.split(/[\s:;,]+/)]) add(part)
  }
  for (const [name, value] of URL.canParse(url) ? new URL(url).searchParams : [])
    if (secretName.test(name)) add(value)
  // The longest first: what holds another goes whole.
  return [...forms].sort((a, b) => b.length - a.length)
}

/** The body without the secrets; `undefined` where it holds none of them. */
function masked(body: Uint8Array, secrets: readonly string[]): Uint8Array | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  const found = secrets.filter((secret) => bytes.includes(secret))
  if (found.length === 0) return undefined
  let text = bytes.toString('latin1')
  for (const secret of found) text = text.replaceAll(Buffer.from(secret).toString('latin1'), '[redacted]')
  return Buffer.from(text, 'latin1')
}

/**
 * Judges an answer to a request. Where it says our own secrets back they are in no error: the refusal is that of the answer
 * without them.
 *
 * @throws what `check` throws.
 */
export async function checked(
  {
    check,
    request,
  }: {
    readonly check: (response: RawResponse) => void | Promise<void>
    readonly request: Pick<HttpRequest, 'headers' | 'url'>
  },
  response: RawResponse,
): Promise<void> {
  try {
    await check(response)
  } catch (error) {
    const body = masked(response.body, secretsOf(request))
    if (!body) throw error
    await check({ ...response, body })
    throw new EverybarError(
      'source.not-an-answer',
      `${response.url} answered ${response.status} with what is not to be shown`,
      {
        recovery: 'retry',
        hint: 'The answer repeats the login it was asked with: something other than the venue may have answered.',
      },
    )
  }
}
