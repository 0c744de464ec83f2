/** Names of headers and parameters whose values nobody may see. */
export const secretName = /key|token|sign|secret|passw|auth|session|cookie/i

/** A URL fit for logs, errors and the archive: no user, no fragment, and no parameter whose name smells of a secret. */
export function redactUrl(url: URL): string {
  const query = url.search
    .slice(1)
    .split('&')
    .filter((pair) => pair !== '' && !secretName.test(pair.split('=')[0]!))
    .join('&')
  return `${url.protocol}//${url.host}${url.pathname}${query === '' ? '' : `?${query}`}`
}
