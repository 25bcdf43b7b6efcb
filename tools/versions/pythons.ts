// SPDX-License-Identifier: Apache-2.0
// The tests of the Python loader use every CPython that they find. The newest is rare: it is
// downloaded if it is missing.
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { exec, root } from '../common/exec.ts'
import { downloaded, Unavailable } from './download.ts'

const MINOR = 14

/** What the tests of the loader are given. */
export interface Pythons {
  /** For their environment. */
  env: Record<string, string>
  /** Why the newest version is not tested. */
  note?: string
}

/** What guests/python/programs/probe.py prints, as far as it matters here. */
interface Probe {
  version_info: number[]
  libpython: string[]
  gil: boolean
}

/** What is looked at, and where the download is kept. */
export interface Place {
  /** Stands in for the variables of the process. */
  env?: Record<string, string>
  cache?: string
}

/** Whether the loader's tests would take this interpreter as the newest version. */
async function fits(python: string): Promise<boolean> {
  const { stdout, ended } = await exec(python, ['guests/python/programs/probe.py'])
  if (ended !== undefined) return false
  const { version_info, libpython, gil } = JSON.parse(stdout) as Probe
  return version_info[0] === 3 && version_info[1] === MINOR && gil && libpython.length > 0
}

async function ofPyenv(env: Record<string, string>): Promise<string[]> {
  const { stdout, ended } = await exec('pyenv', ['root'], { env })
  const versions = join(stdout.trim(), 'versions')
  if (ended !== undefined || !existsSync(versions)) return []
  return readdirSync(versions).map((version) => join(versions, version, 'bin', `python3.${MINOR}`))
}

const split = (list: string | undefined): string[] => (list ?? '').split(delimiter).filter(Boolean)

/** Whether the tests find the newest version by themselves: they look in the same places. */
async function isThere(env: Record<string, string>, named: readonly string[]): Promise<boolean> {
  const path = split(env.PATH ?? process.env.PATH).map((folder) => join(folder, `python3.${MINOR}`))
  const candidates = [...named, ...(await ofPyenv(env)), ...path]
  for (const python of candidates) {
    // A shim of pyenv is there whether or not it has anything to run.
    if (existsSync(python) && !python.includes('/shims/') && (await fits(python))) return true
  }
  return false
}

/** What the tests of the loader need in their environment to find the newest CPython too. */
export async function pythons(place: Place = {}): Promise<Pythons> {
  const { env = {}, cache = join(root, '.cache', 'pythons') } = place
  const named = split(env.POLYLOOP_PYTHONS ?? process.env.POLYLOOP_PYTHONS)
  if (await isThere(env, named)) return { env: {} }
  try {
    const python = await downloaded(cache, env)
    if (!(await fits(python))) throw new Unavailable(`the one that was downloaded does not run here: ${python}`)
    return { env: { POLYLOOP_PYTHONS: [...named, python].join(delimiter) } }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    const missing = 'neither POLYLOOP_PYTHONS nor pyenv nor PATH has one with a shared libpython'
    return { env: {}, note: `CPython 3.${MINOR} was not tested: ${missing}, and ${error.message}` }
  }
}
