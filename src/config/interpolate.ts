import type { ConfigFault } from './faults.ts'

/** The environment, as handed in. */
export type Environment = Readonly<Record<string, string | undefined>>

const reference = /\$\$\{|\$\{([^}]*)\}/g
const inside = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$/s

/**
 * Fills in `${NAME}`, `${NAME:-default}` (unset or empty) and `${NAME:?message}`; `$${` stands for a plain `${`. What is
 * filled in is not looked at again. A name that is not set is a fault, never an empty text.
 */
export function interpolate(
  text: string,
  env: Environment,
): { readonly text: string; readonly faults: readonly Pick<ConfigFault, 'code' | 'message' | 'hint'>[] } {
  const faults: Pick<ConfigFault, 'code' | 'message' | 'hint'>[] = []
  const filled = text.replace(reference, (whole: string, body: string | undefined) => {
    if (body === undefined) return '${'
    const match = inside.exec(body)
    if (!match) {
      faults.push({
        code: 'config.bad-reference',
        message: `${whole} is no reference to a variable`,
        hint: 'Write ${NAME}, ${NAME:-default} or ${NAME:?message}; $${ is a plain ${.',
      })
      return whole
    }
    const [, name, operator, rest = ''] = match
    const value = env[name!]
    if (value !== undefined && (value !== '' || operator === undefined)) return value
    if (operator === ':-') return rest
    faults.push({
      code: 'config.unset-variable',
      message: operator === ':?' && rest !== '' ? `${name}: ${rest}` : `the variable ${name} is not set`,
      hint: `Set ${name}, or give a default: \${${name}:-…}.`,
    })
    return whole
  })
  return { text: filled, faults }
}
