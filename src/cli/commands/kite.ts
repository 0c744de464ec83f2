import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { EverybarError } from '../../model/errors.ts'
import { exitCodes } from '../../model/exit-code.ts'
import { iso } from '../../model/time.ts'
import type { Cli } from '../cli.ts'
import type { Runner } from '../program.ts'

export function define(command: Command, run: Runner): void {
  command
    .command('login')
    .description('log in at Kite; a login serves until 06:00 Indian time')
    .option('--request-token <token>', 'what the login page ended with, or its whole address; - reads stdin')
    .option('--url', 'print the address of the login page, and nothing else')
    .action(
      run(async (cli, options: { readonly requestToken?: string; readonly url?: boolean }) => {
        const { loginUrl, logIn, requestTokenIn } = await import('../../app/kite-login.ts')
        const { config } = await cli.app()
        const page = loginUrl(config.sources.kite)
        if (options.url) return { data: { url: page }, text: page }
        const token = requestTokenIn(await requestToken(cli, page, options.requestToken))
        const login = await logIn(config.sources.kite, token, Date.now())
        const { path, userId, expiresAtMs } = login
        if (config.sources.kite.access_token !== undefined)
          cli.note(
            'EVERYBAR_KITE_ACCESS_TOKEN (or sources.kite.access_token) is set, and goes before this login',
          )
        return {
          data: { file: path, userId, expiresAt: iso(expiresAtMs) },
          text: `logged in as ${userId} until ${iso(expiresAtMs)} (06:00 IST); kept in ${path}`,
          report: true,
        }
      }),
    )
  command
    .command('logout')
    .description('forget the login here; the venue ends it by itself')
    .action(
      run(async (cli) => {
        const { forgetLogin } = await import('../../app/kite-login.ts')
        const { config } = await cli.app()
        const forgotten = await forgetLogin(config.sources.kite)
        return { data: { forgotten }, text: forgotten ? 'forgotten' : 'there was no login', report: true }
      }),
    )
  command
    .command('status')
    .description('say whether there is a login, and until when; exit code 12 without one')
    .action(
      run(async (cli) => {
        const { readLogin } = await import('../../app/kite-login.ts')
        const { sources } = (await cli.app()).config
        if (sources.kite.access_token !== undefined)
          return { data: { from: 'configuration' }, text: 'a token from the configuration' }
        const login = readLogin(sources.kite)
        const valid = login !== undefined && Date.now() < login.expiresAtMs
        const until = login ? iso(login.expiresAtMs) : null
        return {
          data: { from: login ? 'file' : null, userId: login?.userId ?? null, until, valid },
          text: !login
            ? 'no login; run everybar kite login'
            : `${login.userId}: ${valid ? 'until' : 'ended at'} ${until}`,
          exitCode: valid ? exitCodes.complete : exitCodes.loginExpired,
        }
      }),
    )
}

async function requestToken(cli: Cli, page: string, given: string | undefined): Promise<string> {
  if (given !== undefined && given !== '-') return given
  if (given === undefined && !process.stdin.isTTY) {
    throw new EverybarError('cli.request-token', 'no request token was given, and nobody is there to ask', {
      recovery: 'abort',
      hint: `Log in at the page "everybar kite login --url" prints, then run: everybar kite login --request-token 'ADDRESS'`,
    })
  }
  if (given === undefined) cli.note(`Open this page and log in:\n\n  ${page}\n`)
  const lines = createInterface({ input: process.stdin, output: given === '-' ? undefined : process.stderr })
  try {
    return await lines.question(
      given === '-' ? '' : 'Paste the address the browser ends at, or its request_token: ',
    )
  } finally {
    lines.close()
  }
}
