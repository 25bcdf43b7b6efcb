// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

/** Whole programs, each with processes of its own. */
const programs = [
  'examples/**/*.test.ts',
  'tools/docs/{programs,services}.test.ts',
  'tools/package/*.test.ts',
  'benchmark/src/main.test.ts',
  'soak/src/{soak,chaos,libraries}.test.ts',
]

/** Tests beside a source that start guests, whose memory they measure. tools/suites/projects.test.ts looks for more. */
const measuring = ['hosts/node/src/**/{slabs,library-copy}.test.ts']

const exclude = ['**/dist/**', '**/node_modules/**', '**/fixtures/**']

/** These keep several threads busy by themselves; files side by side would starve each other's timers. */
const oneByOne = { fileParallelism: false, sequence: { groupOrder: 1 } }

/** Coverage looks at sources: what imports the package by its name gets them, too. */
const sources = Object.entries({ 'polyloop/msgpack': 'msgpack', polyloop: 'index' }).map(([name, file]) => ({
  find: new RegExp(`^${name}$`),
  replacement: fileURLToPath(new URL(`hosts/node/src/${file}.ts`, import.meta.url)),
}))

export default defineConfig({
  resolve: { alias: process.env.POLYLOOP_COVERAGE === undefined ? [] : sources },
  test: {
    // A watchdog against hangs, not a claim about speed: long enough for a machine that has ten times as much to do.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    teardownTimeout: 60_000,
    passWithNoTests: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'units',
          include: ['{hosts/node,benchmark,soak}/src/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: [...exclude, ...programs, ...measuring],
        },
      },
      {
        extends: true,
        test: {
          name: 'host',
          include: ['hosts/node/test/**/*.test.ts', ...measuring, 'conformance/**/*.test.ts'],
          exclude,
          // Prints the matrix of conformance, if any of it was run.
          globalSetup: ['conformance/support/matrix.ts'],
          ...oneByOne,
        },
      },
      { extends: true, test: { name: 'programs', include: programs, exclude, ...oneByOne } },
    ],
  },
})
