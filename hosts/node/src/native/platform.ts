// SPDX-License-Identifier: Apache-2.0
// Where the add-on can be opened, and what to say where it cannot.
import { existsSync } from 'node:fs'
import { PolyloopError } from '../common/errors.ts'
import { reasonOf, toPolyloop } from '../common/reasons.ts'

/** The oldest glibc that what is packed runs with. */
const GLIBC = '2.34'

/** Runtimes that call themselves Node.js, by the name that each has in `process.versions`, and why they are refused. */
const refused: Readonly<Record<string, string>> = {
  bun: 'Bun has no event loop of libuv, which the add-on drains its rings in: run the program with Node.js',
  deno: 'Deno has no event loop of libuv, which the add-on drains its rings in: run the program with Node.js',
  electron:
    'Electron forbids memory that JavaScript and native code share: load guests in a Node.js process, which Electron can start',
}

/** @throws init-failed if this is no Node.js */
export function requireNode(versions: NodeJS.ProcessVersions = process.versions): void {
  for (const [name, why] of Object.entries(refused)) {
    if (versions[name] !== undefined) throw cannot(`this is ${name} ${versions[name]}, and ${why}`)
  }
}

/** @throws init-failed if a file of the package is not where it should be, which is what bundlers make of it */
export function requireFile(path: string | undefined): asserts path is string {
  if (path !== undefined && existsSync(path)) return
  const where = path === undefined ? 'there is no import.meta.url' : `there is no ${path}`
  const advice =
    "keep the package 'polyloop' out of the bundle, as external (esbuild: --external:polyloop, Next.js: serverExternalPackages: ['polyloop']), and installed beside it"
  throw cannot(`its native part is missing, for ${where}: ${advice}`)
}

/** Why the add-on was not opened. */
export function unopened(
  cause: unknown,
  { platform, arch }: Pick<NodeJS.Process, 'platform' | 'arch'> = process,
): PolyloopError {
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ERR_DLOPEN_DISABLED')
    return cannot('this process may not open add-ons: run node with --allow-addons', cause)
  // The loader of libraries tells what the system refused in words alone.
  const full = Object.entries(exhausted).find(([words]) => reasonOf(cause).includes(words))?.[1]
  if (full !== undefined) {
    return toPolyloop(Object.assign(new Error(reasonOf(cause)), { code: full }), 'the native part cannot be opened')
  }
  const libc = platform === 'linux' ? ` with ${libcOf()}` : ''
  return cannot(
    `its native part is for Linux on x64 with glibc ${GLIBC} or newer, and this is ${platform} on ${arch}${libc}: ${reasonOf(cause)}`,
    cause,
  )
}

/** What the system has too little of, as the C library says it. */
const exhausted: Readonly<Record<string, string>> = {
  'Too many open files in system': 'ENFILE',
  'Too many open files': 'EMFILE',
  'Cannot allocate memory': 'ENOMEM',
}

function libcOf(): string {
  // Where there is this option: without it the names of all connections are looked up.
  Object.assign(process.report, { excludeNetwork: true })
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } }
  return header.glibcVersionRuntime === undefined ? 'another libc' : `glibc ${header.glibcVersionRuntime}`
}

function cannot(why: string, cause?: unknown): PolyloopError {
  const message = `polyloop cannot run here: ${why}`
  return new PolyloopError('init-failed', message, cause === undefined ? {} : { cause })
}
