/** What ends a line or turns its direction, and control characters beyond ASCII. */
const unseen = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/**
 * Text from elsewhere (symbols, a venue's message) fit to be shown: without control characters, which drive a terminal, and
 * without marks that end a line or turn its direction. Line feeds and tabs stay.
 */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
  text.replace(/[\u0000-\u0008\u000b-\u001f]/g, '\ufffd').replace(unseen, '\ufffd')

/** A JSON text that says the same and is fit to be shown: what JSON leaves as it is, escaped. */
export const printableJson = (json: string): string =>
  json.replace(unseen, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
