// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../test/support/folders.ts'
import { CodeWatcher } from './code-watcher.ts'

const warnings: Error[] = []
let warned = (): void => {}
const hear = (warning: Error): void => {
  warnings.push(warning)
  warned()
}

beforeEach(() => {
  warnings.length = 0
  process.on('warning', hear)
})
afterEach(() => void process.off('warning', hear))

const nextWarning = (): Promise<void> =>
  new Promise((resolve) => {
    warned = resolve
  })

/** A watched file, and a promise of its next change. */
function watched(): { folder: string; file: string; watcher: CodeWatcher; changed: () => Promise<void> } {
  const folder = join(temporaryFolder(), 'code')
  mkdirSync(folder)
  const file = join(folder, 'guest.py')
  writeFileSync(file, '1')
  let told = (): void => {}
  const watcher = new CodeWatcher(
    file,
    (name) => name.endsWith('.py'),
    () => told(),
  )
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      told = resolve
    })
  return { folder, file, watcher, changed }
}

describe('watched code', () => {
  test('that changes is told of, also if it was gone, and what is beside it, too', async () => {
    const { folder, file, watcher, changed } = watched()
    const acts: (() => void)[] = [
      () => writeFileSync(file, '2'),
      () => rmSync(file),
      () => writeFileSync(file, '3'),
      () => writeFileSync(join(folder, 'helper.py'), '1'),
    ]
    for (const act of acts) {
      const next = changed()
      act()
      await next
    }
    watcher.stop()
    expect(warnings).toEqual([])
  })

  test('whose folder is replaced by another is told of, then and later', async () => {
    const { folder, file, watcher, changed } = watched()
    const other = `${folder}.new`
    mkdirSync(other)
    writeFileSync(join(other, 'guest.py'), '2')
    const first = changed()
    renameSync(folder, `${folder}.old`)
    renameSync(other, folder)
    await first
    const second = changed()
    writeFileSync(file, '3')
    await second
    watcher.stop()
    expect(warnings).toEqual([])
  })

  test('whose folder is gone is a warning, once', async () => {
    const { folder, watcher } = watched()
    const warning = nextWarning()
    rmSync(folder, { recursive: true })
    await warning
    watcher.stop()
    expect(warnings.map(({ name, message }) => [name, message.replaceAll(folder, '<folder>')])).toEqual([
      ['PolyloopReload', expect.stringMatching(/at <folder>.guest.py is not watched: ENOENT.*call reload\(\)/)],
    ])
  })

  test('that cannot be watched is a warning, and nothing is thrown', async () => {
    const warning = nextWarning()
    const watcher = new CodeWatcher(
      '/no/such/folder/guest.py',
      () => false,
      () => {},
    )
    await warning
    watcher.stop()
    watcher.stop()
    expect(warnings).toHaveLength(1)
  })
})
