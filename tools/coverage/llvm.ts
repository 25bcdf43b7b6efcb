// SPDX-License-Identifier: Apache-2.0
// Rust with counters in it, by cargo-llvm-cov: the environment that builds and runs it, and what the counters say.
import { existsSync } from 'node:fs'
import { posix } from 'node:path'
import { exec, root } from '../common/exec.ts'
import { byRoom, type Room, type Rooms } from './rooms.ts'

const VERSION = '0.9.1'
const CARGO_LLVM_COV = `${root}/.cache/cargo/bin/cargo-llvm-cov`

/** What is compiled with counters has a folder of its own. */
const TARGET = `${root}/target/coverage`

/** Code that nobody who uses Polyloop runs. */
const NOT_OURS = '/(tests|examples|benches)/|/conformance/|/target/'

async function must(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout, output, ended } = await exec(command, args, { env })
  if (ended !== undefined) throw new Error(`${[command, ...args].join(' ')}: ${ended}\n${output}`)
  return stdout
}

/** Installs cargo-llvm-cov among the tools of the project. */
async function install(): Promise<void> {
  if (existsSync(CARGO_LLVM_COV) && (await must(CARGO_LLVM_COV, ['llvm-cov', '--version'])).includes(VERSION)) return
  const args = ['install', 'cargo-llvm-cov', `--version=${VERSION}`, '--locked', `--root=${root}/.cache/cargo`]
  await must('cargo', args)
}

/** Programs of LLVM that read counters, if Debian has them and not rustup. */
async function programs(): Promise<Record<string, string>> {
  const [, host = '', llvm = ''] = /^host: (.+)$[\s\S]*^LLVM version: (\d+)/m.exec(await must('rustc', ['-vV'])) ?? []
  const sysroot = (await must('rustc', ['--print', 'sysroot'])).trim()
  if (existsSync(`${sysroot}/lib/rustlib/${host}/bin/llvm-cov`)) return {}
  const folder = `/usr/lib/llvm-${llvm}/bin`
  return { LLVM_COV: `${folder}/llvm-cov`, LLVM_PROFDATA: `${folder}/llvm-profdata` }
}

/** Reads `KEY='value'` lines. */
export function readEnvironment(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^(\w+)='?(.*?)'?$/gm)].map(([, key = '', value = '']) => [key, value]))
}

/** The environment in which cargo builds with counters, and what was so built writes them. */
export async function environment(): Promise<Record<string, string>> {
  await install()
  const basis = { CARGO_TARGET_DIR: TARGET, ...(await programs()) }
  const said = readEnvironment(await must(CARGO_LLVM_COV, ['llvm-cov', 'show-env', '--no-cfg-coverage'], basis))
  return {
    ...basis,
    ...said,
    // Thousands of processes: those that end at different times share a file.
    LLVM_PROFILE_FILE: (said.LLVM_PROFILE_FILE ?? '').replace(/%p-%\d*m/, '%4m'),
    // Tests and what Node.js loads are of one build, which asserts as that of tests does.
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_OPT_LEVEL: '1',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
    CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS: 'true',
    CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS: 'true',
  }
}

/** Forgets what was counted. */
export async function forget(env: Record<string, string>): Promise<void> {
  await must(CARGO_LLVM_COV, ['llvm-cov', 'clean', '--profraw-only'], env)
}

interface Summary {
  data: { files: { filename: string; summary: Record<'lines' | 'functions', { count: number; covered: number }> }[] }[]
}

/** The crate of a source file, by its folder. */
const crateOf = (path: string): string => posix.relative(root, path).split('/src/')[0] as string

/** Reads what cargo-llvm-cov exports. */
export function readSummary(json: string): Rooms {
  const { data } = JSON.parse(json) as Summary
  const files = data.flatMap(({ files }) => files)
  return byRoom(
    files.map(({ filename, summary: { lines, functions } }) => {
      const room: Room = {
        lines: { ran: lines.covered, all: lines.count },
        functions: { ran: functions.covered, all: functions.count },
      }
      return [crateOf(filename), room] as const
    }),
  )
}

/** What has run since it was forgotten. */
export async function measured(env: Record<string, string>): Promise<Rooms> {
  const args = ['llvm-cov', 'report', '--release', '--json', '--summary-only', `--ignore-filename-regex=${NOT_OURS}`]
  return readSummary(await must(CARGO_LLVM_COV, args, env))
}
