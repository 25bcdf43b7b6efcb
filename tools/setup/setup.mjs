// SPDX-License-Identifier: Apache-2.0
// From a clean clone to a built tree. Each step looks first whether there is anything to do.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, Missing, root, run } from './shell.mjs'
import { requireTools } from './toolchain.mjs'

const NATIVE = {
  'libpolyloop_node.so': 'polyloop.node',
  'libpolyloop_python.so': 'libpolyloop_python.so',
  'libpolyloop_guest_process.so': 'libpolyloop_guest_process.so',
  'polyloop-guest-process': 'polyloop-guest-process',
}

/** Brings the tree up to date; says why not, and returns false, if it cannot. `needs` are the extras of run.mjs. */
export function setup(needs) {
  try {
    requireTools(needs)
    npm()
    cargo()
    typescript()
    if (needs.includes('venvs')) venvs()
    if (needs.includes('lints'))
      venv(join(root, 'tools', 'setup', 'python-tools.txt'), join(root, '.cache', 'venvs', 'tools'))
    return true
  } catch (error) {
    if (!(error instanceof Missing)) throw error
    console.error(error.message)
    return false
  }
}

function readJson(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { packages: {} }
}

/** Whether node_modules holds what the lockfile says, by the record that npm keeps of its last run. */
function installed() {
  const { packages: wanted } = readJson(join(root, 'package-lock.json'))
  const { packages: found } = readJson(join(root, 'node_modules', '.package-lock.json'))
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (!path.startsWith('node_modules/')) return true
    const there = found[path]
    return there ? there.version === version && there.integrity === integrity : optional
  })
}

function npm() {
  if (!installed()) run('npm', 'ci', '--loglevel=error', '--no-audit', '--no-fund')
}

function cargo() {
  run('cargo', 'build', '--release', '--locked', '--workspace')
  const metadata = JSON.parse(ask('cargo', 'metadata', '--no-deps', '--locked', '--format-version=1') ?? '{}')
  const native = join(root, 'hosts', 'node', 'native')
  mkdirSync(native, { recursive: true })
  for (const [from, to] of Object.entries(NATIVE)) {
    const built = join(metadata.target_directory ?? 'target', 'release', from)
    if (!existsSync(built)) throw new Missing(`cargo did not build ${from}`)
    replace(built, join(native, to))
  }
  const kit = join(root, 'guests', 'python', 'kit', 'polyloop')
  for (const name of ['probe', 'process']) replace(join(kit, `_${name}.py`), join(native, `python_${name}.py`))
  // What a guest may import, for the child processes of a guest, which have no loader.
  const importable = join(native, 'python', 'polyloop')
  mkdirSync(importable, { recursive: true })
  for (const name of ['__init__.py', '_call.py']) replace(join(kit, name), join(importable, name))
}

/** Copies by rename: a running process may have the old file mapped, and would crash if it changed under it. */
function replace(from, to) {
  const bytes = readFileSync(from)
  if (existsSync(to) && statSync(to).mode === statSync(from).mode && readFileSync(to).equals(bytes)) return
  const fresh = `${to}.${process.pid}`
  writeFileSync(fresh, bytes, { mode: statSync(from).mode })
  renameSync(fresh, to)
}

function typescript() {
  run(process.execPath, join('node_modules', 'typescript', 'bin', 'tsc'), '-b')
}

/** Examples with a requirements.txt get a virtual environment beside it. */
function venvs() {
  const examples = join(root, 'examples')
  if (!existsSync(examples)) return
  for (const name of readdirSync(examples)) {
    const requirements = join(examples, name, 'requirements.txt')
    if (existsSync(requirements)) venv(requirements, join(examples, name, '.venv'))
  }
}

function venv(requirements, folder) {
  const stamp = join(folder, 'stamp')
  const python = ask('python3', '-c', 'import sys; print(sys.version, sys.base_prefix)') ?? ''
  const wanted = createHash('sha256').update(python).update(readFileSync(requirements)).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(folder, { recursive: true, force: true })
  run('python3', '-m', 'venv', folder)
  run(join(folder, 'bin', 'python'), '-m', 'pip', 'install', '--quiet', '--requirement', requirements)
  writeFileSync(stamp, wanted)
}
