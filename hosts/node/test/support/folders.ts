// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'
import { inRoot } from './paths.ts'

const made: string[] = []
// Here and not where a folder is made, which may be in a test, where no hook is taken.
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true })
})

/** A folder that is gone when the file's tests are over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'polyloop-test-'))
  made.push(folder)
  return folder
}

/** Writes a file below a temporary folder and returns its path. */
export function write(folder: string, name: string, text: string): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  return path
}

/** The C fixtures, compiled: the path of one by its name. */
export function cGuests(): (name: string) => string {
  const folder = temporaryFolder()
  execFileSync(inRoot('conformance/fixtures/c/build.sh'), [folder])
  return (name) => join(folder, `${name}.so`)
}

/** A virtual environment without packages, in a temporary folder. */
export function emptyVenv(): string {
  const folder = join(temporaryFolder(), 'venv')
  execFileSync('python3', ['-m', 'venv', '--without-pip', folder])
  return folder
}

/** The versions of packages that tests install. */
const versions = {
  msgpack: '1.1.1',
  numpy: '2.2.6',
  'opentelemetry-sdk': '1.39.1',
  pandas: '2.3.3',
  polars: '1.35.2',
  pydantic: '2.12.5',
}

/** A virtual environment with packages: kept between runs, because they come from a package index. */
export function venvWith(...names: (keyof typeof versions)[]): string {
  const python = execFileSync('python3', ['-c', 'import sys; print("%d.%d.%d" % sys.version_info[:3])'])
  const wanted = names.map((name) => `${name}-${versions[name]}`).join('-')
  const folder = inRoot(`.cache/venvs/${wanted}-python-${python.toString().trim()}`)
  const done = join(folder, 'done')
  if (existsSync(done)) return folder
  rmSync(folder, { recursive: true, force: true })
  execFileSync('python3', ['-m', 'venv', folder])
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
  execFileSync(join(folder, 'bin', 'python'), [...install, ...names.map((name) => `${name}==${versions[name]}`)])
  writeFileSync(done, '')
  return folder
}
