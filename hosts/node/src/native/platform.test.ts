// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import { expect, test, vi } from 'vitest'
import { requireFile, requireNode, unopened } from './platform.ts'

const refusal = (...parts: string[]) =>
  expect.objectContaining({
    code: 'init-failed',
    message: expect.stringMatching(new RegExp(`^polyloop cannot run here: .*${parts.join('.*')}`)),
  })

test.each(['bun', 'deno', 'electron'])('%s is refused before the add-on is opened', async (name) => {
  const versions = { ...process.versions, [name]: '1.2.3' }
  expect(() => requireNode(versions)).toThrow(refusal(`this is ${name} 1\\.2\\.3`, 'Node\\.js'))
  vi.spyOn(process, 'versions', 'get').mockReturnValue(versions)
  const opened = vi.spyOn(process, 'getBuiltinModule')
  // By `load`, not by the import: a program may do without guests there.
  vi.resetModules()
  const { load } = await import('../runtime/load.ts')
  await expect(load('python:json')).rejects.toEqual(refusal(name))
  expect(opened).not.toHaveBeenCalled()
  vi.restoreAllMocks()
})

test('Node.js is not refused', () => {
  requireNode()
})

test('a bundle that has no native part says what to do', () => {
  expect(() => requireFile('/bundle/native/polyloop.node')).toThrow(refusal('/bundle/native', '--external:polyloop'))
  expect(() => requireFile(undefined)).toThrow(refusal('import\\.meta\\.url', 'serverExternalPackages'))
  requireFile(fileURLToPath(import.meta.url))
})

test('a machine that the native part is not for is told from what it is for', () => {
  const here = refusal('Linux on x64 with glibc 2\\.34', `this is linux on ${process.arch} with glibc 2`, 'ELF')
  expect(unopened(new Error('wrong ELF class'), { platform: 'linux', arch: process.arch })).toEqual(here)
  expect(unopened(new Error('x'), { platform: 'darwin', arch: 'arm64' })).toEqual(refusal('darwin on arm64: x'))
  const full = new Error('polyloop.node: cannot open shared object file: Too many open files')
  expect(unopened(full)).toMatchObject({ code: 'overloaded', message: expect.stringContaining('ulimit -n') })
  const disabled = Object.assign(new Error('disabled'), { code: 'ERR_DLOPEN_DISABLED' })
  expect(unopened(disabled)).toEqual(refusal('--allow-addons'))
})
