// SPDX-License-Identifier: Apache-2.0
// What has to be on the machine. What npm, cargo and pip install is not listed here.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask, atLeast, Missing, root, run } from './shell.mjs'

const NODE = '20.19'
const PYTHON = '3.9'

/** The oldest Rust that builds the workspace, as Cargo.toml says. */
function rustVersion() {
  const [, version] = readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/rust-version = "([\d.]+)"/) ?? []
  return version ?? '1.85'
}

/** Says what is wrong with a version, or nothing. */
function tooOld(name, found, wanted, remedy) {
  if (found && atLeast(found, wanted)) return undefined
  return found
    ? `${name} ${found} is older than ${wanted}: ${remedy}`
    : `${name} ${wanted} or newer is missing: ${remedy}`
}

const version = (text) => text?.match(/\d+\.\d+(\.\d+)?/)?.[0]

// The library that a Python program links to is a package of its own on Debian, and what the guest loader opens.
const HAS_LIBPYTHON = `
import ctypes, sysconfig as s, os
names = [s.get_config_var('INSTSONAME'), s.get_config_var('LDLIBRARY')]
paths = [os.path.join(s.get_config_var('LIBDIR') or '', n) for n in names if n] + [n for n in names if n]
def opens(path):
    try: return bool(ctypes.CDLL(path))
    except OSError: return False
raise SystemExit(not any('.so' in p and opens(p) for p in paths))`

/** The major version of the LLVM that rustc is made with: programs of an older one cannot read what it counts. */
const llvm = () => ask('rustc', '-vV')?.match(/^LLVM version: (\d+)/m)?.[1]

/** Whether rustup or Debian has the programs that read counters. */
function readsCounters() {
  const host = ask('rustc', '-vV')?.match(/^host: (.+)$/m)?.[1]
  const folders = [`${ask('rustc', '--print', 'sysroot')}/lib/rustlib/${host}/bin`, `/usr/lib/llvm-${llvm()}/bin`]
  return folders.some((folder) => existsSync(join(folder, 'llvm-cov')) && existsSync(join(folder, 'llvm-profdata')))
}

/** Each tool: what is wrong with it (undefined if nothing), and what may mend that without asking. */
const tools = {
  node: { problem: () => tooOld('Node.js', process.versions.node, NODE, 'install it from https://nodejs.org') },
  cargo: {
    problem: () =>
      tooOld(
        'Rust',
        version(ask('cargo', '--version')),
        rustVersion(),
        'install it from https://rustup.rs, or run `rustup update stable`',
      ),
  },
  cc: {
    problem: () => (ask('cc', '--version') ? undefined : 'a C compiler is missing: install gcc or clang'),
    debian: ['build-essential'],
  },
  binutils: {
    problem: () => (ask('objcopy', '--version') ? undefined : 'objcopy is missing: install binutils'),
    debian: ['binutils'],
  },
  python: {
    problem: () => tooOld('Python', version(ask('python3', '--version')), PYTHON, 'install python3'),
    debian: ['python3', 'python3-venv', 'python3-dev'],
  },
  libpython: {
    problem: () =>
      ask('python3', '-c', HAS_LIBPYTHON) === undefined
        ? 'the shared libpython of python3 is missing: install libpython3 (python3-dev), or a Python built with --enable-shared'
        : undefined,
    debian: ['python3-dev'],
  },
  venv: {
    problem: () =>
      ask('python3', '-c', 'import venv, ensurepip') === undefined
        ? 'the venv module of python3 is missing: install python3-venv'
        : undefined,
    debian: ['python3-venv'],
  },
  lints: {
    problem: () =>
      ask('cargo', 'clippy', '--version') && ask('cargo', 'fmt', '--version')
        ? undefined
        : 'clippy and rustfmt are missing: run `rustup component add clippy rustfmt`',
    mend: () => ask('rustup', '--version') && run('rustup', 'component', 'add', 'clippy', 'rustfmt'),
  },
  llvm: {
    problem: () =>
      readsCounters()
        ? undefined
        : `llvm-cov ${llvm()} is missing (coverage of Rust is read with it): run \`rustup component add llvm-tools\`, or install llvm-${llvm()}`,
    mend: () => ask('rustup', '--version') && run('rustup', 'component', 'add', 'llvm-tools'),
    get debian() {
      return [`llvm-${llvm()}`]
    },
  },
  headers: {
    problem: () =>
      existsSync(ask('python3', '-c', 'import sysconfig as s; print(s.get_path("include") + "/Python.h")') ?? '') &&
      ask('c++', '--version') &&
      ask('make', '--version')
        ? undefined
        : 'make, a C++ compiler or the headers of python3 are missing (the benchmark builds a rival with them): install build-essential and python3-dev',
    debian: ['build-essential', 'python3-dev'],
  },
  strace: {
    problem: () =>
      ask('strace', '-V') ? undefined : 'strace is missing (a test counts system calls with it): install strace',
    debian: ['strace'],
  },
}

/** What every verb needs. */
const ALWAYS = ['node', 'cargo', 'cc', 'binutils', 'python', 'libpython', 'venv']

/** apt may be used if it is there and the user is root. */
function install(packages) {
  if (process.getuid?.() !== 0 || !ask('apt-get', '--version')) return
  process.env.DEBIAN_FRONTEND = 'noninteractive'
  run('apt-get', 'update', '-q')
  run('apt-get', 'install', '-q', '-y', '--no-install-recommends', ...packages)
}

function provide(tool) {
  for (const attempt of [() => tool.mend?.(), () => tool.debian && install(tool.debian)]) {
    if (!tool.problem()) return undefined
    try {
      attempt()
    } catch (error) {
      if (!(error instanceof Missing)) throw error
      console.error(error.message)
    }
  }
  return tool.problem()
}

/** Checks the tools of the machine, installs what may be installed, and throws a `Missing` with a line for each that is left. */
export function requireTools(needs) {
  const wanted = [...ALWAYS, ...needs].flatMap((name) => tools[name] ?? [])
  const problems = wanted.flatMap((tool) => provide(tool) ?? [])
  if (problems.length > 0) throw new Missing(problems.join('\n'))
}
