// SPDX-License-Identifier: Apache-2.0
// The tests of what is written in Rust.
import { sum } from '../common/counts.ts'
import type { Result } from '../common/report.ts'
import { pythons } from '../versions/pythons.ts'
import { cargoTest } from './cargo.ts'

/** Which versions of Python the loader is tested with: the oldest and the newest that are there, or all of them. */
export type Pythons = 'ends' | 'all'

/** The tests of the workspace, those of the Python loader with each of these versions, and of what few builds have. */
export async function rust(which: Pythons): Promise<Result> {
  const { env, note } = await pythons()
  const workspace = await cargoTest(['--workspace'], {
    ...env,
    POLYLOOP_PYTHONS_TAKE: which,
    ...(which === 'ends' && { POLYLOOP_STRESS_CALLS: '50000' }),
  })
  const feature = await cargoTest(['-p', 'polyloop', '--features', 'opentelemetry', '--lib', '--tests'])
  return {
    counts: sum([workspace.counts, feature.counts]),
    output: `${workspace.output}\n${feature.output}`,
    ended: workspace.ended ?? feature.ended,
    ...(note !== undefined && { note }),
  }
}

/** The crates that everything else stands on, with fewer calls on real threads. */
export const rings = (): Promise<Result> =>
  cargoTest(['-p', 'polyloop-ring', '-p', 'polyloop-connection', '--lib', '--tests'], {
    POLYLOOP_STRESS_CALLS: '20000',
  })

/** Every interleaving of the rings' models. Its own target folder: the flag would rebuild the other one each time. */
export const loom = (): Promise<Result> =>
  cargoTest(['-p', 'polyloop-ring', '--release', '--target-dir', 'target/loom', '--lib', '--tests'], {
    RUSTFLAGS: '--cfg loom',
    // Models need a quick program, not the smallest: linking it takes longer than running it.
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_DEBUG: 'false',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  })
