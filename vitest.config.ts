import { defineConfig } from 'vitest/config'
import { scratchFolder } from './test/scratch.ts'

const scratch = scratchFolder()

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts'],
    globalSetup: ['test/build-once.ts'],
    // Many of these tests run real processes side by side: on a busy machine one may meet a timeout that means nothing.
    retry: process.env.CI ? 2 : 0,
    ...(scratch && { env: { TMPDIR: scratch } }),
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 3,
    // Tests that run side by side within a file mostly wait for a clock.
    maxConcurrency: 8,
    pool: 'forks',
    reporters: ['default', './test/summary-reporter.ts'],
  },
})
