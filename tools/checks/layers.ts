// SPDX-License-Identifier: Apache-2.0
// Holds imports to the layers of ARCHITECTURE.md: they point downwards, and atomics live in crates/ring alone.
import { posix } from 'node:path'
import type { Source } from '../common/files.ts'

/** The crates that each crate of crates/ may use. A guest sees the C ABI and the kits, never the host. */
const CRATES: Readonly<Record<string, readonly string[]>> = {
  'polyloop-abi': [],
  'polyloop-ring': [],
  'polyloop-process': [],
  'polyloop-connection': ['polyloop-abi', 'polyloop-ring'],
  'polyloop-guest-library': ['polyloop-abi', 'polyloop-ring', 'polyloop-connection'],
  'polyloop-node': [
    'polyloop-abi',
    'polyloop-guest-library',
    'polyloop-ring',
    'polyloop-connection',
    'polyloop-process',
  ],
  'polyloop-guest-process': ['polyloop-guest-library', 'polyloop-ring', 'polyloop-connection', 'polyloop-process'],
  'polyloop-python': ['polyloop-abi'],
  'polyloop-test-host': ['polyloop-abi', 'polyloop-ring', 'polyloop-connection'],
}

/** What crates elsewhere (guests, examples, benchmark) may use of crates/. */
const GUESTS_MAY_USE = ['polyloop-abi']

/** The workspace packages that each workspace package may import by name. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  'hosts/node': ['polyloop'],
  conformance: ['polyloop'],
  tools: [],
  benchmark: ['polyloop'],
  soak: ['polyloop'],
  examples: ['polyloop'],
}

/** Files outside crates/ring that use atomics, and why that is right. */
const ATOMICS: Readonly<Record<string, string>> = {
  'hosts/node/addon/src/pins.rs': 'not ours: the counts of a shared_ptr of C++',
  'guests/python/loader/src/runtime.rs': 'a guest cannot use crates/ring; it counts who still uses its runtime handle',
  'guests/rust/kit/src/task/call.rs': 'a guest cannot use crates/ring; a call remembers that it was answered',
}

/** The part of `cargo metadata` that is looked at. */
export interface Metadata {
  packages: {
    name: string
    manifest_path: string
    dependencies: { name: string; kind: string | null; path?: string }[]
  }[]
}

/** Dependencies between crates that point upwards, or to crates that the table of layers does not know. */
export function checkCrates({ packages }: Metadata, root: string): string[] {
  if (packages.length === 0) return ['cargo metadata names no crate']
  return packages.flatMap(({ name, manifest_path, dependencies }) => {
    const inCrates = manifest_path.startsWith(`${root}/crates/`)
    if (inCrates && !CRATES[name]) return [`${name}: not in the table of layers (tools/checks/layers.ts)`]
    const allowed = CRATES[name] ?? GUESTS_MAY_USE
    return dependencies
      .filter(({ kind, path }) => kind !== 'dev' && path?.startsWith(`${root}/crates/`))
      .filter((dependency) => !allowed.includes(dependency.name))
      .map((dependency) => `${name} must not depend on ${dependency.name}`)
  })
}

const IMPORT = /^\s*(?:import|export)\b(?:[^'"]*?\bfrom)?\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm

/** What a TypeScript file imports, statically or not. */
export function imports(text: string): string[] {
  return [...text.matchAll(IMPORT)].map(([, from, lazy]) => from ?? lazy ?? '')
}

/** Imports of TypeScript files that leave their package, or that point upwards. */
export function checkPackages(files: readonly Source[]): string[] {
  if (files.length === 0) return ['no TypeScript files found']
  const names = ['polyloop', ...Object.keys(PACKAGES).map((folder) => `@polyloop/${posix.basename(folder)}`)]
  return files.flatMap(({ path, text }) => {
    const home = Object.keys(PACKAGES).find((folder) => path.startsWith(`${folder}/`))
    if (home === undefined) return [`${path}: its package is not in the table of layers (tools/checks/layers.ts)`]
    return imports(text)
      .filter((from) => {
        if (from.startsWith('.')) return !posix.join(posix.dirname(path), from).startsWith(`${home}/`)
        const name = names.find((candidate) => from === candidate || from.startsWith(`${candidate}/`))
        return name !== undefined && !PACKAGES[home]?.includes(name)
      })
      .map((from) => `${path} must not import ${from}`)
  })
}

const ATOMIC = /\batomic::|\bsync::atomic\b|\bAtomic(?:Bool|Ptr|[UI](?:8|16|32|64|size))\b/
const COMMENT = /^\s*\/\/.*$/gm

/** Uses of atomics outside crates/ring, and reasons for such uses that are gone. */
export function checkAtomics(files: readonly Source[], reasons: Readonly<Record<string, string>> = ATOMICS): string[] {
  const users = files.filter(({ text }) => ATOMIC.test(text.replace(COMMENT, ''))).map(({ path }) => path)
  if (!users.some((path) => path.startsWith('crates/ring/'))) return ['no atomics in crates/ring: is the check blind?']
  // Tests may, and what authors of guests do, as the fixtures show, is their own affair.
  const free = /^crates\/ring\/|^conformance\/fixtures\/|\/(?:tests|examples|benches)\//
  const outside = users.filter((path) => !free.test(path))
  return [
    ...outside.filter((path) => !reasons[path]).map((path) => `${path}: atomics belong in crates/ring`),
    ...Object.keys(reasons)
      .filter((path) => !outside.includes(path))
      .map((path) => `${path}: uses no atomics, so it needs no reason to (tools/checks/layers.ts)`),
  ]
}
