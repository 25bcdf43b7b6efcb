// SPDX-License-Identifier: Apache-2.0
import { cpSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../support/folders.ts'
import { inRoot } from '../support/paths.ts'
import { ask } from './child.ts'
import { pythonGuest, rustGuest } from './paths.ts'

/** The package's JavaScript, evaluated once more, over the one add-on. */
function copy(): string {
  const folder = temporaryFolder()
  cpSync(inRoot('hosts/node/dist'), join(folder, 'dist'), { recursive: true })
  cpSync(inRoot('hosts/node/package.json'), join(folder, 'package.json'))
  symlinkSync(inRoot('hosts/node/native'), join(folder, 'native'))
  symlinkSync(inRoot('node_modules'), join(folder, 'node_modules'))
  return pathToFileURL(join(folder, 'dist', 'index.js')).href
}

test('modules that are evaluated more than once in a thread have guests of their own, and the program ends', async () => {
  const each = [100, 101, 102, 103]
  expect(await ask('twice', [rustGuest, pythonGuest, copy(), copy(), copy()])).toEqual([each, each, each, [2]])
})
