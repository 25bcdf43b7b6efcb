// SPDX-License-Identifier: Apache-2.0
// What of the code the tests run: what `npm test` runs of it, and beside it what all of the tests do.
//
// Rust is built with counters and laid where Node.js loads it from, so one run of the host's tests tells of both
// languages. It counts what runs in the process of a test, and for Rust in every process that ends by itself.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closingLine } from '../common/counts.ts'
import { exec, root } from '../common/exec.ts'
import type { Result } from '../common/report.ts'
import { cargoTest } from '../suites/cargo.ts'
import { FEW, MANY } from '../suites/host.ts'
import { type VitestOptions, vitest } from '../suites/vitest.ts'
import { pythons } from '../versions/pythons.ts'
import { joined, type Report } from './istanbul.ts'
import { environment, forget, measured } from './llvm.ts'
import { type Rooms, table } from './rooms.ts'

/** What users run. Tools and programs are not among them: most of theirs runs in processes that a test starts. */
const SOURCES = ['hosts/node/src']

/** Where coverage is measured to, and what was printed on the way. */
interface Bench {
  env: Record<string, string>
  folder: string
  /** What the runs printed, and a line of each for the report. */
  output: string[]
  runs: string[]
  reports: Report[]
}

async function build(env: Record<string, string>): Promise<void> {
  const { output, ended } = await exec(process.execPath, ['tools/run.mjs', 'build'], { env })
  if (ended !== undefined) throw new Error(`the build failed: ${ended}\n${output}`)
}

function note(bench: Bench, what: string, { counts, output, ended }: Result): void {
  bench.runs.push(`${what}: ${closingLine(counts)}${ended === undefined ? '' : `, ${ended}`}`)
  bench.output.push(`${what}:`, output)
  if (counts.passed === 0) throw new Error(`coverage of nothing: ${what}\n${output}`)
}

/** Runs tests of TypeScript, and keeps what of it ran. */
async function typescript(bench: Bench, what: string, options: VitestOptions): Promise<void> {
  const folder = join(bench.folder, String(bench.reports.length))
  const args = [
    '--coverage',
    '--coverage.reporter=json',
    // Other suites say which test fails.
    '--coverage.reportOnFailure',
    `--coverage.reportsDirectory=${folder}`,
    ...SOURCES.map((path) => `--coverage.include=${path}/**/*.ts`),
    '--coverage.exclude=**/{dist,type-tests}/**',
    '--coverage.exclude=**/*.test.ts',
  ]
  const env = { ...bench.env, ...options.env, POLYLOOP_COVERAGE: '1' }
  note(bench, what, await vitest({ ...options, args, env }))
  bench.reports.push(JSON.parse(readFileSync(join(folder, 'coverage-final.json'), 'utf8')) as Report)
}

async function rust(bench: Bench, what: string, args: readonly string[], env: Record<string, string>): Promise<void> {
  note(bench, what, await cargoTest(['--release', ...args], { ...bench.env, ...env }))
}

/** What the tests of every commit run. */
async function ofCommits(bench: Bench, python: Record<string, string>): Promise<void> {
  await rust(bench, 'rust', ['--workspace', '--lib', '--bins', '--tests'], { ...python, POLYLOOP_PYTHONS_TAKE: 'ends' })
  await rust(bench, 'opentelemetry', ['-p', 'polyloop', '--features', 'opentelemetry', '--lib', '--tests'], {})
  const env = { ...FEW, POLYLOOP_CONFORMANCE_PLACEMENTS: 'thread,process' }
  await typescript(bench, 'units and host', { projects: ['units', 'host'], env })
}

/** What only those of the night run. */
async function ofNights(bench: Bench, python: Record<string, string>): Promise<void> {
  await rust(bench, 'rust, all Pythons', ['-p', 'polyloop-python', '--tests'], python)
  const env = { ...MANY, POLYLOOP_CONFORMANCE_PLACEMENTS: 'shared' }
  await typescript(bench, 'the rest', {
    files: ['conformance', '/hostile.test.ts', '.fuzz.test.ts', 'examples', 'soak', 'benchmark'],
    env,
  })
}

async function measure(bench: Bench): Promise<string> {
  const python = (await pythons()).env
  await forget(bench.env)
  const found: Record<string, { typescript: Rooms; rust: Rooms }> = {}
  for (const [name, run] of [
    ['npm test', ofCommits],
    ['all tests', ofNights],
  ] as const) {
    await run(bench, python)
    found[name] = { typescript: joined(bench.reports, root), rust: await measured(bench.env) }
  }
  const of = (language: 'typescript' | 'rust'): Record<string, Rooms> =>
    Object.fromEntries(Object.entries(found).map(([name, rooms]) => [name, rooms[language]]))
  return `${table('TypeScript, %', of('typescript'))}\n\n${table('Rust, %', of('rust'))}\n\n${bench.runs.join('\n')}`
}

/** Measures coverage. How many tests failed under it is said and decides nothing: the other suites run them, too. */
export async function coverage(): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'polyloop-coverage-'))
  try {
    const bench: Bench = { env: await environment(), folder, output: [], runs: [], reports: [] }
    await build(bench.env)
    const tables = await measure(bench)
    return {
      counts: { passed: 1, failed: 0, skipped: 0 },
      output: bench.output.join('\n'),
      ended: undefined,
      note: tables,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    // Nobody who is next may load what counts.
    await build({})
    // What a process counts that was started without the environment of its test.
    for (const name of readdirSync(root)) if (name.endsWith('.profraw')) rmSync(join(root, name))
  }
}
