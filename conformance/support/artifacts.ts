// SPDX-License-Identifier: Apache-2.0
// Where fixtures are, as they are loaded: built, and with what they need.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root. This file runs as it is and as it was built, which are at different depths. */
export const root: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(folder: string): string {
  return existsSync(join(folder, 'Cargo.lock')) ? folder : findRoot(dirname(folder))
}

/** A file below conformance/fixtures. */
export const fixture = (path: string): string => join(root, 'conformance', 'fixtures', path)

/** A library that cargo builds. */
export function fromCargo(name: string): string {
  const path = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target', 'release', name)
  if (!existsSync(path)) throw new Error(`${path} is missing: npm run build`)
  return path
}

/** The C fixture, compiled if it is older than its sources. */
export function builtC(): string {
  const folder = join(root, '.cache', 'conformance')
  const path = join(folder, 'guest.so')
  const sources = [...inFolder(fixture('c/guest')), fixture('c/build.sh'), join(root, 'spec', 'polyloop.h')]
  const isFresh = existsSync(path) && sources.every((source) => statSync(source).mtimeMs <= statSync(path).mtimeMs)
  if (isFresh) return path
  mkdirSync(folder, { recursive: true })
  const scratch = mkdtempSync(join(folder, 'build-'))
  try {
    execFileSync(fixture('c/build.sh'), [scratch, 'guest'])
    // At once: another run may be about to load it.
    renameSync(join(scratch, 'guest.so'), path)
  } finally {
    rmSync(scratch, { recursive: true })
  }
  return path
}

const inFolder = (folder: string): string[] => readdirSync(folder).map((name) => join(folder, name))

const msgpack = 'msgpack==1.1.1'

/** A virtual environment with the package that Python's MessagePack needs: kept, because a package index has it. */
export function venvWithMsgpack(): string {
  const version = execFileSync('python3', ['-c', 'import sys; print("%d.%d.%d" % sys.version_info[:3])'])
  const folder = join(root, '.cache', 'venvs', `${msgpack.replace('==', '-')}-python-${version.toString().trim()}`)
  const done = join(folder, 'done')
  if (existsSync(done)) return folder
  rmSync(folder, { recursive: true, force: true })
  execFileSync('python3', ['-m', 'venv', folder])
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', msgpack]
  execFileSync(join(folder, 'bin', 'python'), install)
  writeFileSync(done, '')
  return folder
}
