// SPDX-License-Identifier: Apache-2.0
// A CPython with a shared libpython, out of a Go module: go is on many machines that have no such build of a new version.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { exec } from '../common/exec.ts'

const MODULE = 'github.com/kluctl/go-embed-python'
const VERSION = 'v0.0.0-3.14.6-20260610-1'
/** What go calls the module's `h1` sum. It covers every file of the module. */
export const SUM = 'h1:oGUS7++Wm3LgxUfD6AmJgKbKQD2wdQFO9PzyJv6T+E4='

/** The folders of the module for the machines that it is used on. */
const PLATFORMS: Record<string, string> = { 'linux x64': 'linux-amd64', 'linux arm64': 'linux-arm64' }

/** The machine cannot have the download. The message is the end of a sentence. */
export class Unavailable extends Error {}

/** What `go mod download -json` prints. */
interface Module {
  Dir?: string
  Sum?: string
  Error?: string
}

/** An entry of the module's files.json. Its `perm` is a Go `fs.FileMode`: the type of the file is in the upper bits. */
interface Entry {
  name: string
  perm: number
  symlink?: string
  compressed?: boolean
}

const isFolder = ({ perm }: Entry): boolean => perm >= 2 ** 31

function unpackEntry(entry: Entry, from: string, to: string): void {
  const target = join(to, entry.name)
  if (isFolder(entry)) mkdirSync(target, { recursive: true })
  else if (entry.symlink !== undefined) symlinkSync(entry.symlink, target)
  else {
    if (entry.compressed) writeFileSync(target, gunzipSync(readFileSync(join(from, `${entry.name}.gz`))))
    else copyFileSync(join(from, entry.name), target)
    // Go's module cache has lost the permissions.
    chmodSync(target, entry.perm & 0o777)
  }
}

/** Unpacks a Python that was packed for embedding in a Go program. */
export function unpack(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  const { files } = JSON.parse(readFileSync(join(from, 'files.json'), 'utf8')) as { files: Entry[] }
  for (const entry of files) unpackEntry(entry, from, to)
}

function parse(stdout: string): Module {
  try {
    return JSON.parse(stdout) as Module
  } catch {
    return {}
  }
}

/** Downloads the module below `scratch` and answers its folder. */
async function download(scratch: string, env: Record<string, string>): Promise<string> {
  if ((await exec('go', ['version'], { env })).ended !== undefined)
    throw new Unavailable('go, which could download one, is not there either')
  const { stdout, output, ended } = await exec('go', ['mod', 'download', '-json', `${MODULE}@${VERSION}`], {
    env: {
      ...env,
      // Nothing of the user's is changed, and what go writes can be deleted.
      GOPATH: join(scratch, 'path'),
      GOMODCACHE: join(scratch, 'modules'),
      GOCACHE: join(scratch, 'cache'),
      GOFLAGS: '-modcacherw',
      GOTOOLCHAIN: 'local',
      GO111MODULE: 'on',
      // The sum is below in this file: its database need not be reached.
      GOSUMDB: 'off',
    },
    watchdog: 5 * 60_000,
  })
  const { Dir, Sum, Error: reason = output } = parse(stdout)
  if (ended !== undefined || Dir === undefined)
    throw new Unavailable(`go could not download one (${ended}): ${reason.trim().replaceAll(/\s+/g, ' ')}`)
  if (Sum !== SUM) throw new Error(`${MODULE}@${VERSION} has the sum ${Sum}, not ${SUM}: it is not used`)
  return Dir
}

/** The path of the interpreter, which is downloaded unless `cache` has it. Throws an `Unavailable` if it cannot be. */
export async function downloaded(cache: string, env: Record<string, string>): Promise<string> {
  const folder = join(cache, VERSION)
  const python = join(folder, 'bin', 'python3.14')
  if (existsSync(python)) return python
  const machine = `${process.platform} ${process.arch}`
  const platform = PLATFORMS[machine]
  if (platform === undefined) throw new Unavailable(`there is none to download for ${machine}`)
  mkdirSync(cache, { recursive: true })
  const scratch = mkdtempSync(join(cache, 'download-'))
  try {
    const module = await download(scratch, env)
    unpack(join(module, 'python', 'internal', 'data', platform), join(scratch, 'python'))
    // Whole or not at all, also for another run at the same time.
    if (!existsSync(folder)) renameSync(join(scratch, 'python'), folder)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  return python
}
