// SPDX-License-Identifier: Apache-2.0
// The verbs of package.json. Plain JavaScript, because it runs before anything is installed or built.
import { spawnSync } from 'node:child_process'
import { setup } from './setup/setup.mjs'
import { root } from './setup/shell.mjs'

const suites = 'tools/dist/suites/test.js'

/** What a verb needs beside the build, and the command that it then runs, with the arguments that it begins with. */
const verbs = {
  build: { needs: [] },
  start: { needs: ['venvs'], command: 'examples/dist/tour.js' },
  bench: { needs: ['headers'], command: 'benchmark/dist/main.js' },
  soak: { needs: [], command: 'soak/dist/main.js', node: ['--expose-gc'] },
  check: { needs: ['lints'], command: 'tools/dist/checks/check.js' },
  format: { needs: ['lints'], command: 'tools/dist/checks/format.js' },
  quick: { needs: ['lints'], command: suites, first: ['quick'] },
  test: { needs: ['lints', 'strace'], command: suites, first: ['test'] },
  full: { needs: ['lints', 'strace', 'venvs', 'llvm'], command: suites, first: ['full'] },
}

function main([name, ...args]) {
  const verb = verbs[name]
  if (!verb) {
    console.error(`there is no verb '${name}'; the verbs are ${Object.keys(verbs).join(', ')}`)
    return 2
  }
  if (!setup(verb.needs)) {
    // The closing line of the tests is a count, whatever went wrong.
    if (verb.command === suites) console.log('0 passed, 1 failed')
    return 1
  }
  if (!verb.command) return 0
  const run = spawnSync(process.execPath, [...(verb.node ?? []), verb.command, ...(verb.first ?? []), ...args], {
    cwd: root,
    stdio: 'inherit',
  })
  return run.status ?? 1
}

process.exitCode = main(process.argv.slice(2))
