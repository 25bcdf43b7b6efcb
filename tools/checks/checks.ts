// SPDX-License-Identifier: Apache-2.0
// The checks of `npm run check`. Each is a suite of one test.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, type Finished, pythonTool, root, tool } from '../common/exec.ts'
import { sources } from '../common/files.ts'
import type { Suite } from '../common/report.ts'
import { checkOptions } from '../docs/options.ts'
import { checkRustCircles } from './circles.ts'
import { checkHeaders, SOURCE_EXTENSIONS } from './headers.ts'
import { checkAtomics, checkCrates, checkPackages, type Metadata } from './layers.ts'
import { checkLicences } from './licences.ts'
import { checkCircles, checkRooms, checkSizes } from './rooms.ts'
import { checkStops, checkWalk } from './stops.ts'

const FOLDERS = ['hosts', 'crates', 'guests', 'conformance', 'tools', 'benchmark', 'soak', 'examples']

/** Code that no build of the workspace has by itself. */
const FEATURES = ['--features', 'polyloop/opentelemetry']

const RUFF = pythonTool('ruff')

const all = (folders: readonly string[], extensions: readonly string[]) =>
  folders.flatMap((folder) => sources(folder, extensions))

/** A check that a command makes. */
function command(name: string, run: () => Promise<Finished>): Suite {
  return {
    name,
    aside: true,
    run: async () => {
      const { ended, output } = await run()
      return {
        counts: { passed: ended === undefined ? 1 : 0, failed: ended === undefined ? 0 : 1, skipped: 0 },
        ended,
        output,
      }
    },
  }
}

/** A check of our own: it fails if it finds a problem. */
function own(name: string, find: () => string[] | Promise<string[]>): Suite {
  return command(name, async () => {
    const problems = await find()
    const output = problems.join('\n')
    return { stdout: output, output, ended: problems.length > 0 ? `${problems.length} problems` : undefined }
  })
}

function stops(): string[] {
  const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  return [
    ...checkStops(architecture, all(['hosts', 'crates', 'guests'], ['.ts', '.rs', '.py', '.c', '.h'])),
    ...checkWalk(architecture, (path) => existsSync(join(root, path))),
  ]
}

async function licences(): Promise<string[]> {
  const args = ['tree', '--workspace', '--edges=normal', '--prefix=none', '--locked', '--format={p}|{l}']
  const { stdout, ended, output } = await exec('cargo', args)
  return ended === undefined ? checkLicences(stdout) : [output]
}

async function layers(): Promise<string[]> {
  const { stdout, ended, output } = await exec('cargo', ['metadata', '--no-deps', '--locked', '--format-version=1'])
  if (ended !== undefined) return [output]
  return [
    ...checkCrates(JSON.parse(stdout) as Metadata, root),
    ...checkPackages(all(['hosts', 'conformance', 'tools', 'benchmark', 'soak', 'examples'], ['.ts'])),
    ...checkAtomics(all(['crates', 'hosts', 'guests', 'conformance'], ['.rs'])),
  ]
}

function rooms(): string[] {
  const typescript = all(['hosts', 'conformance', 'tools', 'benchmark', 'soak', 'examples'], ['.ts'])
  return [
    ...checkRooms(typescript),
    ...checkCircles(typescript),
    ...checkRustCircles(all(['crates', 'guests', 'hosts'], ['.rs'])),
    ...checkSizes(all(FOLDERS, ['.ts', '.mjs', '.rs', '.py', '.lua', '.go', '.java', '.c', '.h'])),
  ]
}

/** The longest first, beside which the others run, in the order of what fails soonest. */
export const checks: readonly Suite[] = [
  command('clippy', () =>
    exec('cargo', [
      'clippy',
      '--workspace',
      '--all-targets',
      ...FEATURES,
      '--locked',
      '--quiet',
      '--',
      '-D',
      'warnings',
    ]),
  ),
  command('biome', () => tool('@biomejs/biome/bin/biome', ['ci', '--error-on-warnings', '--colors=off', '.'])),
  command('rustfmt', () => exec('cargo', ['fmt', '--all', '--check'])),
  command('ruff', () => exec(RUFF, ['check', '--quiet', '.'])),
  command('ruff-format', () => exec(RUFF, ['format', '--check', '--quiet', '.'])),
  command('mypy', () =>
    exec(pythonTool('mypy'), [
      '--config-file=guests/python/kit/pyproject.toml',
      '--cache-dir=.cache/mypy',
      'guests/python/kit/polyloop',
      ...['probe', 'process'].map((name) => `guests/python/programs/${name}.py`),
    ]),
  ),
  own('stops', stops),
  own('layers', layers),
  own('rooms', rooms),
  own('licences', licences),
  own('spdx', () => checkHeaders(all(FOLDERS, SOURCE_EXTENSIONS))),
  command('types', () => tool('typescript/bin/tsc', ['-b', '--pretty', 'false'])),
  own('options', checkOptions),
  command('knip', () => tool('knip/bin/knip.js', ['--no-progress'])),
  command('publint', () => tool('publint/src/cli.js', ['--strict', 'hosts/node'])),
  command('attw', () =>
    tool('@arethetypeswrong/cli/dist/index.js', [
      '--pack',
      'hosts/node',
      // require() of ES modules is what Node.js itself can do from 20.19 and 22.12 on.
      '--ignore-rules',
      'cjs-resolves-to-esm',
      '--no-color',
      '--no-emoji',
    ]),
  ),
  command('rustdoc', () =>
    exec('cargo', ['doc', '--workspace', '--no-deps', ...FEATURES, '--locked', '--quiet'], {
      env: { RUSTDOCFLAGS: '-D warnings' },
    }),
  ),
]
