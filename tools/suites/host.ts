// SPDX-License-Identifier: Apache-2.0
// The tests of what is written in TypeScript.
import type { Result } from '../common/report.ts'
import { isAtHand, MAJORS, type Major, nodeOf } from '../versions/nodes.ts'
import { vitest } from './vitest.ts'

/** How long what is random goes on: attacks on the host's end of the rings, as docs/internals/trust.md has them, and schedules. */
type Attacks = Readonly<Record<'POLYLOOP_HOSTILE_ROUNDS' | 'POLYLOOP_FUZZ_CASES' | 'POLYLOOP_SCHEDULES', string>>

export const FEW: Attacks = { POLYLOOP_HOSTILE_ROUNDS: '60', POLYLOOP_FUZZ_CASES: '1000', POLYLOOP_SCHEDULES: '500' }
export const MANY: Attacks = {
  POLYLOOP_HOSTILE_ROUNDS: '1500',
  POLYLOOP_FUZZ_CASES: '20000',
  POLYLOOP_SCHEDULES: '10000',
}

/** Tests beside the sources, of the host, the tools and the programs. */
export const units = (): Promise<Result> => vitest({ projects: ['units'], env: FEW })

/** Examples that need nothing but what builds Polyloop: those of the documents are among them. */
export const EXAMPLES: readonly string[] = ['01-hello/hello', '03-rust-library/search', '04-own-process/contained']
  .map((name) => `examples/${name}.test.ts`)
  .concat('tools/docs/programs.test.ts')

/** Such examples. */
export const examples = (): Promise<Result> => vitest({ files: EXAMPLES })

/** The package as npm gets it, in a project of its own. */
export const packed = (): Promise<Result> => vitest({ files: ['tools/package/package.test.ts'] })

/** Faults of guests, brokers and hosts at the same time. */
export const chaos = (faults: number): Promise<Result> =>
  vitest({ files: ['soak/src/chaos.test.ts'], env: { POLYLOOP_CHAOS_FAULTS: String(faults) } })

/** Whole programs: all examples, those of the documents too, other people's, a tiny benchmark, a short soak. */
export const programs = (): Promise<Result> =>
  vitest({
    projects: ['programs'],
    args: ['soak/src/chaos', 'tools/package/package'].map((name) => `--exclude=${name}.test.ts`),
  })

/** What attacks the host's end of the rings at random. */
export const ATTACKS: readonly string[] = ['/hostile.test.ts', '.fuzz.test.ts']

/** The attacks, at length. */
export const attacks = (): Promise<Result> => vitest({ files: ATTACKS, env: MANY })

/** What depends on the version of Node.js: the add-on, memory that V8 collects, how processes and workers end. */
export const SLICE: readonly string[] = ['addon', 'slabs', 'payloads', 'alloc', 'exit', 'workers'].map(
  (name) => `/${name}.test.ts`,
)

const OLDEST = MAJORS[0]
const NEWEST = MAJORS[MAJORS.length - 1] as Major

/** The host's tests on the Node.js at hand. */
export async function host(): Promise<Result> {
  const result = await vitest({ projects: ['host'], files: ['hosts/node'], env: FEW })
  const label = `host, ${process.version}`
  const whole = [OLDEST, NEWEST].filter(isAtHand)
  if (whole.length === 0) return { ...result, label }
  return { ...result, label, note: `no slice on Node.js ${whole}: that is the one at hand, which runs all of it` }
}

/** A slice of the host's tests on a version of Node.js. */
export async function slice(major: Major): Promise<Result> {
  const { node, version } = await nodeOf(major)
  return { ...(await vitest({ files: SLICE, node })), label: `slice, ${version}` }
}

/** All of the host's tests, units too, on a version of Node.js. */
export async function whole(major: Major): Promise<Result> {
  const { node, version } = await nodeOf(major)
  return { ...(await vitest({ files: ['hosts/node'], node })), label: `host, ${version}` }
}

/** What Node.js adds to the claims of conformance, about guests wherever they live. */
export const ANYWHERE: readonly string[] = [
  'alloc',
  'codecs',
  'errors',
  'guest-spans',
  'metrics',
  'payloads',
  'python-guest',
  'rust-guest',
  'streams',
].map((name) => `hosts/node/test/suites/${name}.test.ts`)

/** The same claims of guests in processes of their own. */
export const processes = (): Promise<Result> => vitest({ files: ANYWHERE, env: { POLYLOOP_TEST_PLACEMENT: 'process' } })
