// SPDX-License-Identifier: Apache-2.0
// Every suite of `npm test`.

import { checks } from '../checks/checks.ts'
import { sum } from '../common/counts.ts'
import { type Finished, tool } from '../common/exec.ts'
import { type Source, sources } from '../common/files.ts'
import type { Result, Suite } from '../common/report.ts'
import { cargoTest } from './cargo.ts'
import { pythons } from './pythons.ts'
import { sanitizers } from './sanitizers.ts'
import { typeTestCounts } from './typetests.ts'
import { versions } from './versions.ts'
import { vitest } from './vitest.ts'

/** The tests of the workspace; those of the Python loader with each version of Python; and of what few builds have. */
async function rust(): Promise<Result> {
  const { env, note } = await pythons()
  const workspace = await cargoTest(['--workspace'], env)
  const feature = await cargoTest(['-p', 'polyloop', '--features', 'opentelemetry', '--lib', '--tests'])
  return {
    counts: sum([workspace.counts, feature.counts]),
    output: `${workspace.output}\n${feature.output}`,
    ended: workspace.ended ?? feature.ended,
    ...(note !== undefined && { note }),
  }
}

/** Every interleaving of the rings' models. Its own target folder: the flag would rebuild the other one each time. */
const loom = (): Promise<Result> =>
  cargoTest(['-p', 'polyloop-ring', '--release', '--target-dir', 'target/loom', '--lib', '--tests'], {
    RUSTFLAGS: '--cfg loom',
    // Models need a quick program, not the smallest: linking it takes longer than running it.
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_DEBUG: 'false',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  })

const tsc = (project: string): Promise<Finished> =>
  tool('typescript/bin/tsc', ['--pretty', 'false', '-p', `hosts/node/${project}`])

/** The type tests, and some that must fail, which shows that they can. */
async function types(): Promise<Result> {
  const good = await tsc('tsconfig.types.json')
  const bad = await tsc('type-tests/must-fail/tsconfig.json')
  const files = sources('hosts/node', ['.ts']).filter(({ path }) => path.endsWith('.test-d.ts'))
  const mustFail = ({ path }: Source): boolean => path.includes('/must-fail/')
  const wrong = typeTestCounts(files.filter(mustFail), bad.output)
  const right = typeTestCounts(
    files.filter((file) => !mustFail(file)),
    good.output,
  )
  const inverted = { passed: wrong.failed, failed: wrong.passed, skipped: 0 }
  return {
    counts: sum([right, inverted]),
    output: `${good.output}\nof the tests that must fail:\n${bad.output}`,
    ended: good.ended,
  }
}

/** What a guest is claimed to do wherever it lives: these files' guests are in processes of their own in a second run. */
const anywhere = [
  'alloc',
  'codecs',
  'errors',
  'guest-spans',
  'metrics',
  'payloads',
  'python-guest',
  'rust-guest',
  'streams',
]

/** The same claims of guests in processes of their own. */
const processes = (): Promise<Result> =>
  vitest(
    anywhere.map((name) => `hosts/node/test/suites/${name}.test.ts`),
    process.execPath,
    { POLYLOOP_TEST_PLACEMENT: 'process' },
  )

/** What `npm test` runs, after the checks; the host's tests run once for each version of Node.js. */
export const suites: readonly Suite[] = [
  ...checks,
  { name: 'rust', run: rust },
  { name: 'loom', run: loom },
  { name: 'sanitizers', run: sanitizers },
  { name: 'type-tests', run: types },
  { name: 'processes', run: processes },
  { name: 'vitest', run: () => vitest(['tools', 'benchmark', 'soak', 'examples']) },
  ...versions,
]
