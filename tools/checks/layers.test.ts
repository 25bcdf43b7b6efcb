// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkAtomics, checkCrates, checkPackages, imports } from './layers.ts'

const crate = (folder: string, name: string, ...uses: { name: string; kind?: string; path?: string }[]) => ({
  name,
  manifest_path: `/r/${folder}/Cargo.toml`,
  dependencies: uses.map((use) => ({ kind: null, path: `/r/crates/${use.name.replace('polyloop-', '')}`, ...use })),
})

test('a crate may depend on those below it', () => {
  const packages = [
    crate('crates/connection', 'polyloop-connection', { name: 'polyloop-ring' }, { name: 'polyloop-abi' }),
    crate('hosts/node/addon', 'polyloop-node', { name: 'polyloop-connection' }),
    crate('guests/rust', 'polyloop', { name: 'polyloop-abi' }),
  ]
  expect(checkCrates({ packages }, '/r')).toEqual([])
})

test('a crate must not depend on those above it, also not for its build', () => {
  const up = { name: 'polyloop-connection' }
  expect(checkCrates({ packages: [crate('crates/ring', 'polyloop-ring', up)] }, '/r')).toEqual([
    'polyloop-ring must not depend on polyloop-connection',
  ])
  expect(
    checkCrates({ packages: [crate('crates/ring', 'polyloop-ring', { ...up, kind: 'build' })] }, '/r'),
  ).toHaveLength(1)
  expect(checkCrates({ packages: [crate('crates/ring', 'polyloop-ring', { ...up, kind: 'dev' })] }, '/r')).toEqual([])
})

test('a guest must not depend on the host', () => {
  const packages = [crate('guests/rust', 'polyloop', { name: 'polyloop-ring' })]
  expect(checkCrates({ packages }, '/r')).toEqual(['polyloop must not depend on polyloop-ring'])
})

test('a crate that the table does not know is found, and so is no crate at all', () => {
  expect(checkCrates({ packages: [crate('crates/new', 'polyloop-new')] }, '/r')[0]).toContain('not in the table')
  expect(checkCrates({ packages: [] }, '/r')).toHaveLength(1)
})

test('imports are found in every form', () => {
  const text = [
    "import a from 'a'",
    "import type { B } from './b.ts'",
    'import {\n  c,\n  d,\n} from "c"',
    "import 'e'",
    "export * from 'f'",
    "const g = await import('g')",
  ].join('\n')
  expect(imports("export const url = new URL('../..', import.meta.url)\nexport { x }\nconst y = 'z'")).toEqual([])
  expect(imports(text)).toEqual(['a', './b.ts', 'c', 'e', 'f', 'g'])
})

const file = (path: string, ...from: string[]) => ({ path, text: from.map((name) => `import '${name}'\n`).join('') })

test('packages import themselves, npm and packages below', () => {
  const files = [
    file('hosts/node/src/a/b.ts', '../c.ts', 'node:fs', '@msgpack/msgpack'),
    file('benchmark/src/main.ts', 'polyloop', 'polyloop/msgpack'),
  ]
  expect(checkPackages(files)).toEqual([])
})

test('a package must not import one above, nor reach into another by a path', () => {
  const files = [
    file('hosts/node/src/a.ts', '@polyloop/tools', '../../../tools/common/exec.ts'),
    file('tools/suites/b.ts', 'polyloop'),
    file('others/src/c.ts'),
  ]
  expect(checkPackages(files)).toEqual([
    'hosts/node/src/a.ts must not import @polyloop/tools',
    'hosts/node/src/a.ts must not import ../../../tools/common/exec.ts',
    'tools/suites/b.ts must not import polyloop',
    'others/src/c.ts: its package is not in the table of layers (tools/checks/layers.ts)',
  ])
})

test('no packages at all is a failure', () => {
  expect(checkPackages([])).toHaveLength(1)
})

const ring = { path: 'crates/ring/src/sync.rs', text: 'pub use std::sync::atomic::AtomicU32;' }

test.each([
  'use std::sync::atomic::Ordering;',
  'use std::sync::{Arc, atomic::AtomicBool};',
  'use core::sync::atomic as a;',
  'static N: AtomicU64 = AtomicU64::new(0);',
])('atomics outside the ring are found: %s', (text) => {
  expect(checkAtomics([ring, { path: 'hosts/node/addon/src/hub.rs', text }], {})).toEqual([
    'hosts/node/addon/src/hub.rs: atomics belong in crates/ring',
  ])
})

test('a comment, a test and a file with a reason may name atomics', () => {
  const text = 'use std::sync::atomic::Ordering;'
  const files = [
    ring,
    { path: 'hosts/node/addon/src/hub.rs', text: '    // not std::sync::atomic: why\n' },
    { path: 'hosts/node/addon/tests/stress.rs', text },
    { path: 'conformance/fixtures/rust/src/lib.rs', text },
    { path: 'guests/rust/kit/src/pool.rs', text },
  ]
  expect(checkAtomics(files, { 'guests/rust/kit/src/pool.rs': 'a counter of threads' })).toEqual([])
})

test('a reason that is no longer needed, and a ring without atomics, are found', () => {
  expect(checkAtomics([ring], { 'hosts/node/addon/src/hub.rs': 'once' })).toHaveLength(1)
  expect(checkAtomics([], {})).toHaveLength(1)
})
