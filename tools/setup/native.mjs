// SPDX-License-Identifier: Apache-2.0
// The native files of hosts/node: what cargo has built without its debug information, which lies apart in `.debug`.
// Debuggers and Rust's own traces find it there; the package does not have it, and is a seventh of the size.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { join } from 'node:path'
import { ask, Missing, root, run } from './shell.mjs'

/** What cargo builds, and what the package calls that. */
const NATIVE = {
  'libpolyloop_node.so': 'polyloop.node',
  'libpolyloop_python.so': 'libpolyloop_python.so',
  'libpolyloop_guest_process.so': 'libpolyloop_guest_process.so',
  'polyloop-guest-process': 'polyloop-guest-process',
}

/** Programs in Python that the host runs, and modules. */
const PYTHON = {
  'programs/probe.py': 'python_probe.py',
  'programs/process.py': 'python_process.py',
  // What a guest may import, for the child processes of a guest, which have no loader.
  'kit/polyloop/__init__.py': 'python/polyloop/__init__.py',
  'kit/polyloop/_call.py': 'python/polyloop/_call.py',
}

/** What there is in `hosts/node/native`. */
export const nativeFiles = [...Object.values(NATIVE), ...Object.values(PYTHON)]

/** Brings `hosts/node/native` up to date with what is built. */
export function placeNative() {
  const metadata = JSON.parse(ask('cargo', 'metadata', '--no-deps', '--locked', '--format-version=1') ?? '{}')
  const release = join(metadata.target_directory ?? join(root, 'target'), 'release')
  const native = join(root, 'hosts', 'node', 'native')
  mkdirSync(join(native, '.debug'), { recursive: true })
  mkdirSync(join(native, 'python', 'polyloop'), { recursive: true })
  for (const [from, to] of Object.entries(NATIVE)) {
    const built = join(release, from)
    if (!existsSync(built)) throw new Missing(`cargo did not build ${from}`)
    placeStripped(built, native, to)
  }
  for (const [from, to] of Object.entries(PYTHON)) {
    place(join(root, 'guests', 'python', from), join(native, to))
  }
  prune(native)
}

/** A file's time in milliseconds: the rest is lost on the way. */
const timeOf = (path) => Math.round(statSync(path).mtimeMs)

/** A copy has the time of what it was made from. */
const isFrom = (to, from) => existsSync(to) && timeOf(to) === timeOf(from)

function placeStripped(built, native, name) {
  const [to, debug] = [join(native, name), join(native, '.debug', `${name}.debug`)]
  if (isFrom(to, built) && isFrom(debug, built)) return
  put(debug, built, (fresh) => run('objcopy', '--only-keep-debug', built, fresh))
  // The name alone is kept of that path: who looks for the file looks in `.debug` beside the stripped one.
  put(to, built, (fresh) => run('objcopy', '--strip-unneeded', `--add-gnu-debuglink=${debug}`, built, fresh))
}

function place(from, to) {
  if (existsSync(to) && readFileSync(to).equals(readFileSync(from))) return
  put(to, from, (fresh) => copyFileSync(from, fresh))
}

/** Writes by rename: a running process may have the old file mapped, and would crash if that changed. */
function put(to, from, write) {
  const fresh = `${to}.${process.pid}`
  write(fresh)
  utimesSync(fresh, timeOf(from) / 1000, timeOf(from) / 1000)
  renameSync(fresh, to)
}

/** What is built no more would be packed for ever. */
function prune(native) {
  for (const name of readdirSync(native)) {
    if (name !== '.debug' && !nativeFiles.some((file) => file.split('/')[0] === name))
      rmSync(join(native, name), { recursive: true })
  }
}
