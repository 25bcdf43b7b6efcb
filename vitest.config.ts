// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      'hosts/node/{src,test}/**/*.test.ts',
      'conformance/*.test.ts',
      'tools/**/*.test.ts',
      '{benchmark,soak}/src/**/*.test.ts',
      'examples/**/*.test.ts',
    ],
    exclude: ['**/dist/**', '**/node_modules/**'],
    // The host's tests keep several threads busy by themselves; files side by side would starve each other's timers.
    fileParallelism: false,
    // A watchdog against hangs, not a claim about speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    passWithNoTests: false,
    // Prints the matrix of conformance, if any of it was run.
    globalSetup: ['conformance/support/matrix.ts'],
  },
})
