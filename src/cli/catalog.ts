import type { Command } from 'commander'
import type { Runner } from './program.ts'

/** What a command's module exports: adds its arguments, options and action to an empty command of its name. */
export interface CommandModule {
  readonly define: (command: Command, run: Runner) => void
}

export interface CatalogEntry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<CommandModule>
}

/** Every command, in the order of the help. Modules are loaded by the command that is asked for, and by no other. */
export const catalog: readonly CatalogEntry[] = [
  { name: 'init', summary: 'write a commented everybar.yaml', load: () => import('./commands/init.ts') },
  {
    name: 'plan',
    summary: 'show what sync would do; touches nothing',
    load: () => import('./commands/plan.ts'),
  },
  {
    name: 'sync',
    summary: 'make series complete, once: fetch what is missing, settle, report',
    load: () => import('./commands/sync.ts'),
  },
  {
    name: 'live',
    summary: 'keep series complete: every bar as soon as it is final, until stopped',
    load: () => import('./commands/live.ts'),
  },
  {
    name: 'serve',
    summary: 'live, gaps filled again and again, jobs by the clock, and HTTP, until stopped',
    load: () => import('./commands/serve.ts'),
  },
  {
    name: 'status',
    summary: 'show what there is of each series',
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'gaps',
    summary: 'list every run of missing bars with its class and evidence',
    load: () => import('./commands/gaps.ts'),
  },
  {
    name: 'verify',
    summary: 'prove from stored bytes that series are complete, without the network',
    load: () => import('./commands/verify.ts'),
  },
  {
    name: 'repair',
    summary: 'mend what verify finds and nothing else, then prove again',
    load: () => import('./commands/repair.ts'),
  },
  {
    name: 'rebuild',
    summary: 'make the ledger, the lake or a store again from the archive, without the network',
    load: () => import('./commands/rebuild.ts'),
  },
  {
    name: 'compact',
    summary: 'fold what live appended to the lake into its month files',
    load: () => import('./commands/compact.ts'),
  },
  {
    name: 'revisions',
    summary: 'list every bar the venue has restated, with both values',
    load: () => import('./commands/revisions.ts'),
  },
  { name: 'query', summary: 'run SQL over the lake (view: bars)', load: () => import('./commands/query.ts') },
  {
    name: 'export',
    summary: 'write training data: long and GluonTS frames, windows, CSV',
    load: () => import('./commands/export.ts'),
  },
  {
    name: 'reconcile',
    summary: 'compare a store with the archive, month by month, and mend it',
    load: () => import('./commands/reconcile.ts'),
  },
  {
    name: 'db',
    summary: 'plan or apply the tables of the PostgreSQL store',
    load: () => import('./commands/db.ts'),
  },
  {
    name: 'instruments',
    summary: 'take in and list a venue’s instruments',
    load: () => import('./commands/instruments.ts'),
  },
  { name: 'kite', summary: 'log in at Kite', load: () => import('./commands/kite.ts') },
  { name: 'runs', summary: 'list past runs and show one', load: () => import('./commands/runs.ts') },
  {
    name: 'config',
    summary: 'check, print and describe the configuration',
    load: () => import('./commands/config.ts'),
  },
  {
    name: 'doctor',
    summary: 'check this machine, the root and the venue',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'simulate',
    summary: 'serve a simulated venue on localhost',
    load: () => import('./commands/simulate.ts'),
  },
]
