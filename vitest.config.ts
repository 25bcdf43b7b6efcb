// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      'hosts/node/{src,test}/**/*.test.ts',
      'tools/**/*.test.ts',
      '{benchmark,soak}/src/**/*.test.ts',
      'examples/**/*.test.ts',
    ],
    exclude: ['**/dist/**', '**/node_modules/**'],
    // The host's tests keep several threads busy by themselves; files side by side would starve each other's timers.
    fileParallelism: false,
    // A watchdog against hangs, not a claim about speed: long enough for a machine that has ten times as much to do.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    passWithNoTests: false,
  },
})
