import type { Command } from 'commander'
import type { Cli } from './cli.ts'

export interface ServeOptions {
  readonly host?: string
  readonly port?: string
}

/** Adds the options that say where HTTP is answered. A token is no flag: flags can be read by others. */
export const serveOptions = (command: Command): Command =>
  command
    .option('--host <address>', 'where to listen; anything but this machine wants EVERYBAR_TOKEN (127.0.0.1)')
    .option('--port <port>', 'port to listen at; 0 takes any free one (8080)')

/** Hands them to the configuration. */
export function readServeOptions(cli: Cli, { host, port }: ServeOptions): void {
  cli.override([
    ...(host === undefined ? [] : [{ path: ['serve', 'host'], text: host, where: '--host' }]),
    ...(port === undefined ? [] : [{ path: ['serve', 'port'], text: port, where: '--port' }]),
  ])
}
