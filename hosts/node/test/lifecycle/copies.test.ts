// SPDX-License-Identifier: Apache-2.0
// Several copies of the package in one program, as package managers make if two dependencies want two versions.
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { script } from '../support/child.ts'
import { temporaryFolder } from '../support/folders.ts'
import { inRoot, python, rust } from '../support/paths.ts'

const folder = temporaryFolder()
symlinkSync(inRoot('node_modules'), join(folder, 'node_modules'))

/** The path of the main module of a copy. */
function copy(name: string): string {
  mkdirSync(join(folder, name))
  for (const part of ['package.json', 'dist', 'native']) {
    cpSync(inRoot(`hosts/node/${part}`), join(folder, name, part), { recursive: true })
  }
  return join(folder, name, 'dist/index.js')
}

const copies = JSON.stringify(['first', 'second', 'third'].map(copy))

const guests = [rust, python('basic')].flatMap((locator) =>
  ['thread', 'process'].map((placement) => ({ locator, placement })),
)

test.each(guests)(
  'of which each has called $locator ($placement) end with the program',
  async ({ locator, placement }) => {
    const source = `
    const loads = []
    for (const path of ${copies}) loads.push((await import(path)).load)
    const guests = await Promise.all(loads.map((load) => load('${locator}', { placement: '${placement}' })))
    // Each alone keeps the program for its call, although it took hold of the loop again.
    for (const guest of guests) say(await guest.add(1, 2))
    say(await Promise.all(guests.map((guest) => guest.sleep_ms(20))))
    const [first, ...others] = guests
    await first.unload()
    say(others.length)
  `
    const { code, signal, stdout, stderr } = await script(source)
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
    expect(stdout.trim().split('\n').at(-1)).toBe('2')
  },
)
