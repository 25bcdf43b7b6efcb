// SPDX-License-Identifier: Apache-2.0
// What `npm start` runs: the examples, one after another, and what a call costs. `--brief` measures that in a moment.
import { fileURLToPath } from 'node:url'
import { contained } from './tour/contained.ts'
import { cost, type Pace } from './tour/cost.ts'
import { digits } from './tour/digits.ts'
import { freedom } from './tour/freedom.ts'
import { hello } from './tour/hello.ts'
import { print } from './tour/print.ts'
import { ripgrep } from './tour/ripgrep.ts'

/** A watchdog, in case a guest or a measurement hangs; the tour takes a third of it on a slow machine. */
const PATIENCE_MS = 180_000

async function tour(pace: Pace): Promise<void> {
  print(`Polyloop on Node.js ${process.versions.node}: one event loop that calls Python and Rust.`)
  await hello()
  await digits()
  await ripgrep()
  await freedom()
  await contained()
  await cost(pace)
  print('\nRead on in README.md; `npm run bench` measures at length, and beside other rivals.')
}

const watchdog = setTimeout(() => {
  process.stderr.write(`the tour did not end within ${PATIENCE_MS / 1000} s\n`)
  process.exit(1)
}, PATIENCE_MS)

// So that what tidies up at the exit does when someone has seen enough, too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
process.stdout.once('error', () => process.exit(1))

try {
  // The examples' paths start at the root of the repository.
  process.chdir(fileURLToPath(new URL('../..', import.meta.url)))
  await tour(process.argv.includes('--brief') ? { rounds: 1, measureMs: 10 } : { rounds: 3, measureMs: 100 })
} catch (error) {
  process.stderr.write(`the tour ended early: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
} finally {
  clearTimeout(watchdog)
}
