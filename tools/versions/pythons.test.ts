// SPDX-License-Identifier: Apache-2.0
// Machines that have and lack Python 3.14, and go, made of shell scripts in a PATH of their own.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SUM, unpack } from './download.ts'
import { type Pythons, pythons } from './pythons.ts'

let folder: string
let cache: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'polyloop-pythons-'))
  cache = join(folder, 'cache')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function write(path: string, data: string | Uint8Array, mode = 0o644): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, data)
  chmodSync(file, mode)
  return file
}

/** A program that prints a line and ends with a code. */
const says = (value: unknown, code = 0): string => `#!/bin/sh\necho '${JSON.stringify(value)}'\nexit ${code}\n`

const probe = { version_info: [3, 14, 6], gil: true, libpython: ['libpython3.14.so.1.0'] }

/** A module's folder, with a Python for each machine, as go leaves it. */
function module(python: string): string {
  for (const platform of ['linux-amd64', 'linux-arm64']) {
    const data = `module/python/internal/data/${platform}`
    const files = [
      { name: 'bin', perm: 2 ** 31 + 0o755 },
      { name: 'bin/python', perm: 2 ** 27, symlink: 'python3.14' },
      { name: 'bin/python3.14', perm: 0o755, compressed: true },
      { name: 'bin/pip', perm: 0o644 },
    ]
    write(`${data}/files.json`, JSON.stringify({ files }))
    write(`${data}/bin/python3.14.gz`, gzipSync(python), 0o444)
    write(`${data}/bin/pip`, 'pip', 0o444)
  }
  return join(folder, 'module')
}

const find = (named = ''): Promise<Pythons> =>
  pythons({ env: { PATH: join(folder, 'bin'), POLYLOOP_PYTHONS: named }, cache })

test('without go, one line says what is not tested and why', async () => {
  const { env, note } = await find()
  expect(env).toEqual({})
  expect(note).toMatch(/^CPython 3\.14 was not tested: .*go, which could download one, is not there either$/)
  expect(readdirSync(cache)).toEqual([])
})

test('a python3.14 of PATH that has a shared libpython is enough', async () => {
  write('bin/python3.14', says(probe), 0o755)
  expect(await find()).toEqual({ env: {} })
  expect(existsSync(cache)).toBe(false)
})

test('so is one of pyenv, and one that is named', async () => {
  const python = write('pyenv/versions/3.14.1/bin/python3.14', says(probe), 0o755)
  expect(await find(`/nonexistent:${python}`)).toEqual({ env: {} })
  expect((await find()).note).toBeDefined()
  write('bin/pyenv', `#!/bin/sh\necho '${folder}/pyenv'\n`, 0o755)
  expect(await find()).toEqual({ env: {} })
})

test.each([
  { ...probe, libpython: [] },
  { ...probe, gil: false },
  { ...probe, version_info: [3, 13, 1] },
])('%j will not do', async (answer) => {
  write('bin/python3.14', says(answer), 0o755)
  expect((await find()).note).toBeDefined()
})

test('go downloads one, which is kept, beside those that are named', async () => {
  const go = write('bin/go', says({ Dir: module(says(probe)), Sum: SUM }), 0o755)
  const { env, note } = await find('/nonexistent')
  expect(note).toBeUndefined()
  const [first, python = ''] = env.POLYLOOP_PYTHONS?.split(':') ?? []
  expect(first).toBe('/nonexistent')
  expect(python.startsWith(cache)).toBe(true)
  expect(readdirSync(cache)).toHaveLength(1)
  rmSync(go)
  expect(await find('/nonexistent')).toEqual({ env })
})

test('a module with another sum is an error, and nothing is kept', async () => {
  write('bin/go', says({ Dir: module(says(probe)), Sum: 'h1:other=' }), 0o755)
  await expect(find()).rejects.toThrow('has the sum h1:other=')
  expect(readdirSync(cache)).toEqual([])
})

test('a download that fails, or does not run, is a line', async () => {
  const mod = `printf %s '${JSON.stringify({ Error: 'no\nway' })}'`
  write('bin/go', `#!/bin/sh\nif [ "$1" = mod ]; then ${mod}; exit 1; fi\n`, 0o755)
  expect((await find()).note).toMatch(/go could not download one \(exit code 1\): no way$/)
  write('bin/go', says({ Dir: module(says({}, 1)), Sum: SUM }), 0o755)
  expect((await find()).note).toContain('does not run here')
})

test('files are unpacked with their permissions and links', async () => {
  const to = join(folder, 'unpacked')
  unpack(join(module(says(probe)), 'python/internal/data/linux-amd64'), to)
  expect(readFileSync(join(to, 'bin/python'), 'utf8')).toBe(says(probe))
  expect(readFileSync(join(to, 'bin/pip'), 'utf8')).toBe('pip')
  // Those of the module are read-only.
  writeFileSync(join(to, 'bin/pip'), '')
})
