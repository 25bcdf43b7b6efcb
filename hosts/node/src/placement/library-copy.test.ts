// SPDX-License-Identifier: Apache-2.0
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { said } from '../../test/support/child.ts'
import { temporaryFolder } from '../../test/support/folders.ts'
import { rust } from '../../test/support/paths.ts'
import { copyLibrary } from './library-copy.ts'

const library = rust.replace(/^rust:/, '')

test('of a library what is loaded is copied, and no symbols', () => {
  const to = join(temporaryFolder(), 'copy.so')
  copyLibrary(library, to)
  const [whole, code] = [readFileSync(library), readFileSync(to)]
  expect(code.length).toBeLessThan(whole.length / 2)
  expect(code.subarray(64).equals(whole.subarray(64, code.length))).toBe(true)
  expect(statSync(to).mode & 0o100).toBe(0o100)
})

test('what is no library, or is cut off, is copied as it is', () => {
  const folder = temporaryFolder()
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from('no library'),
    Buffer.alloc(100),
    readFileSync(library).subarray(0, 4000),
  ]) {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')]
    writeFileSync(from, bytes)
    copyLibrary(from, to)
    expect(readFileSync(to)).toEqual(bytes)
  }
})

test('reloads on threads that add up are told once', async () => {
  const [texts, inits] = await said(`
    const texts = []
    process.removeAllListeners('warning').on('warning', ({ name, message }) => texts.push(name + ': ' + message))
    const guest = await load(${JSON.stringify(rust)})
    for (let round = 0; round < 9; round++) await guest.reload()
    const before = texts.length
    for (let round = 0; round < 4; round++) await guest.reload()
    await turns(2)
    say([before, ...texts])
    say(await guest.call('inits'))
    await guest.unload()
  `)
  expect(texts).toEqual([0, expect.stringMatching(/^PolyloopReload: 10 reloads .*placement to 'process'/)])
  expect(inits).toBe(1)
})
