// SPDX-License-Identifier: Apache-2.0
// From a clean clone to a built tree. Each step looks first whether there is anything to do.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { placeNative } from './native.mjs'
import { orphans } from './outputs.mjs'
import { ask, Missing, root, run } from './shell.mjs'
import { requireTools } from './toolchain.mjs'

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
  placeNative()
}

function typescript() {
  run(process.execPath, join('node_modules', 'typescript', 'bin', 'tsc'), '-b')
  // tsc leaves what it made of a source that is gone.
  for (const path of orphans()) rmSync(path)
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
