// SPDX-License-Identifier: Apache-2.0
// The tests of the crates between the rings and the C border, under AddressSanitizer and under ThreadSanitizer.
//
// ThreadSanitizer has to see every access: the standard library that rustup installs is not instrumented, so
// the slow paths of its locks order nothing in its eyes, and it would report races that do not exist. With the
// sources of the standard library that is compiled again. AddressSanitizer does without: it watches memory, and
// hears of every allocation. If a test maps a file twice, as two processes do, ThreadSanitizer takes that for
// two memories, and sees no race between them: that order is for loom's models.
//
// Both are options of nightly compilers. RUSTC_BOOTSTRAP lets the stable one, which all else is built with,
// take them.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { sum } from '../common/counts.ts'
import { exec } from '../common/exec.ts'
import type { Result } from '../common/report.ts'
import { cargoTest } from './cargo.ts'

const CRATES = ['polyloop-ring', 'polyloop-connection', 'polyloop-guest-library']

/** What a command prints. */
async function ask(command: string, ...args: string[]): Promise<string> {
  const { stdout, output, ended } = await exec(command, args)
  if (ended !== undefined) throw new Error(`${[command, ...args].join(' ')}: ${ended}\n${output}`)
  return stdout.trim()
}

/** The platform that the compiler runs on: if none is named, build scripts are compiled with the sanitizer, too. */
async function platform(): Promise<string> {
  const host = /^host: (.+)$/m.exec(await ask('rustc', '-vV'))?.[1]
  if (host === undefined) throw new Error('rustc does not say what it runs on')
  return host
}

/** Installs the sources of the standard library if they are missing. */
async function requireSources(): Promise<void> {
  const sources = 'lib/rustlib/src/rust/library/Cargo.lock'
  if (!existsSync(join(await ask('rustc', '--print', 'sysroot'), sources)))
    await ask('rustup', 'component', 'add', 'rust-src')
}

/** Each has a target folder of its own: the flags would rebuild the other one each time. */
function under(sanitizer: string, target: string, args: readonly string[]): Promise<Result> {
  const packages = CRATES.flatMap((name) => ['-p', name])
  const folder = `target/sanitizers/${sanitizer}`
  return cargoTest([...packages, '--lib', '--tests', '--target', target, '--target-dir', folder, ...args], {
    RUSTC_BOOTSTRAP: '1',
    RUSTFLAGS: `-Zsanitizer=${sanitizer}`,
    CARGO_PROFILE_DEV_DEBUG: 'line-tables-only',
    POLYLOOP_STRESS_CALLS: '20000',
  })
}

/** Errors of memory, and races. A test program that has one prints it and fails as a whole. */
export async function sanitizers(): Promise<Result> {
  const target = await platform()
  const address = await under('address', target, [])
  const output = `under AddressSanitizer:\n${address.output}`
  try {
    await requireSources()
  } catch (error) {
    // As with versions of Python that cannot be had: the rest counts, and the report says what was left out.
    const reason = (error as Error).message.split('\n')[0]
    return { ...address, output, note: `ThreadSanitizer was not run: there is no rust-src, and ${reason}` }
  }
  const thread = await under('thread', target, ['-Zbuild-std'])
  return {
    counts: sum([address.counts, thread.counts]),
    output: `${output}\nunder ThreadSanitizer:\n${thread.output}`,
    ended: address.ended ?? thread.ended,
  }
}
