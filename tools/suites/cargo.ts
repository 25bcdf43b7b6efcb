// SPDX-License-Identifier: Apache-2.0
// Running cargo's tests.
import { cargoCounts } from '../common/counts.ts'
import { exec } from '../common/exec.ts'
import type { Result } from '../common/report.ts'

/** Runs `cargo test`; a test program that fails does not keep the others from running. */
export async function cargoTest(args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  const { stdout, output, ended } = await exec('cargo', ['test', '--locked', '--no-fail-fast', ...args], { env })
  return { counts: cargoCounts(stdout), output, ended }
}
