// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { temporaryFolder } from '../../test/support/folders.ts'
import type { OwnCode } from './code-tree.ts'
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

const code: OwnCode = {
  isFile: (name) => name.endsWith('.py'),
  isFolder: (name) => /^[a-z]+$/.test(name),
  foreign: 'pyvenv.cfg',
}

/** The text of the file of a guest, as it is there: written as a file, or as a link with its target. */
type Layout = Readonly<Record<string, string | { readonly to: string }>>

function make(folder: string, layout: Layout): void {
  for (const [name, content] of Object.entries(layout)) {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    if (typeof content === 'string') writeFileSync(path, content)
    else symlinkSync(content.to, path)
  }
}

/** Watches a file of a folder, and tells of its changes. */
class Watched {
  readonly folder: string = join(temporaryFolder(), 'code')
  readonly watcher: CodeWatcher
  /** Changes that were told. */
  count = 0
  #told = (): void => {}

  constructor(layout: Layout = { 'guest.py': '1' }, file = 'guest.py', own: OwnCode | undefined = code) {
    make(this.folder, layout)
    this.watcher = new CodeWatcher(join(this.folder, file), own, () => {
      this.count++
      this.#told()
    })
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  /** Does something, and waits until a change is told. */
  async by(act: () => void): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this.#told = resolve
    })
    act()
    await told
  }
}

/** Puts a link in the place of another, at once. */
function relink(path: string, to: string): void {
  symlinkSync(to, `${path}.next`)
  renameSync(`${path}.next`, path)
}

describe('watched code', () => {
  test('that changes is told of, also if it was gone, and what is beside it, too', async () => {
    const watched = new Watched()
    await watched.by(() => writeFileSync(watched.at('guest.py'), '2'))
    await watched.by(() => rmSync(watched.at('guest.py')))
    await watched.by(() => writeFileSync(watched.at('guest.py'), '3'))
    await watched.by(() => writeFileSync(watched.at('helper.py'), '1'))
    watched.watcher.stop()
    expect(watched.count).toBe(4)
    expect(warnings).toEqual([])
  })

  test('in folders below is told of, in new ones and those of links, too; other code is not', async () => {
    const watched = new Watched({
      'guest.py': '1',
      'lib/deep/code.py': '1',
      'env/pyvenv.cfg': '',
      'env/other.py': '1',
      '../elsewhere/far.py': '1',
      linked: { to: '../elsewhere' },
      'linked.py': { to: '../elsewhere/far.py' },
      loop: { to: '.' },
    })
    await watched.by(() => writeFileSync(watched.at('lib/deep/code.py'), '2'))
    await watched.by(() => make(watched.folder, { 'fresh/new.py': '1' }))
    await watched.by(() => writeFileSync(watched.at('fresh/new.py'), '2'))
    await watched.by(() => writeFileSync(watched.at('../elsewhere/far.py'), '2'))
    writeFileSync(watched.at('env/other.py'), '2')
    writeFileSync(watched.at('lib/deep/data.txt'), '2')
    await watched.by(() => rmSync(watched.at('lib'), { recursive: true }))
    expect(watched.count).toBe(5)
    watched.watcher.stop()
    expect(warnings).toEqual([])
  })

  test('of a mounted configuration is told of each time that its version changes, once', async () => {
    const watched = new Watched({
      '..one/guest.py': '1',
      '..data': { to: '..one' },
      'guest.py': { to: '..data/guest.py' },
    })
    for (const version of ['..two', '..three']) {
      await watched.by(() => {
        make(watched.folder, { [`${version}/guest.py`]: version })
        relink(watched.at('..data'), version)
      })
    }
    expect(watched.count).toBe(2)
    watched.watcher.stop()
  })

  test.each([undefined, code])('of a release is told of when another one becomes the current one', async (own) => {
    const watched = new Watched(
      { 'releases/1/app/guest.py': '1', 'releases/2/app/guest.py': '2', current: { to: 'releases/1' } },
      'current/app/guest.py',
      own,
    )
    await watched.by(() => relink(watched.at('current'), 'releases/2'))
    await watched.by(() => writeFileSync(watched.at('releases/2/app/guest.py'), '3'))
    expect(watched.count).toBe(2)
    watched.watcher.stop()
  })

  test.each([undefined, code])(
    'that is a link is told of when its target is edited, and when it leads elsewhere',
    async (own) => {
      const watched = new Watched(
        { 'real/a.py': '1', 'other/b.py': '1', 'guest.py': { to: 'real/a.py' } },
        'guest.py',
        own,
      )
      await watched.by(() => writeFileSync(watched.at('real/a.py'), '2'))
      await watched.by(() => relink(watched.at('guest.py'), 'other/b.py'))
      await watched.by(() => writeFileSync(watched.at('other/b.py'), '2'))
      expect(watched.count).toBe(3)
      watched.watcher.stop()
    },
  )

  test.each([undefined, code])('whose folder is replaced by another is told of, then and later', async (own) => {
    const watched = new Watched({ 'guest.py': '1' }, 'guest.py', own)
    make(`${watched.folder}.new`, { 'guest.py': '2' })
    await watched.by(() => {
      renameSync(watched.folder, `${watched.folder}.old`)
      renameSync(`${watched.folder}.new`, watched.folder)
    })
    await watched.by(() => writeFileSync(watched.at('guest.py'), '3'))
    for (let round = 0; round < 3; round++) {
      await watched.by(() => {
        rmSync(watched.folder, { recursive: true })
        make(watched.folder, { 'guest.py': '4' })
      })
      await watched.by(() => writeFileSync(watched.at('guest.py'), '5'))
    }
    expect(watched.count).toBe(8)
    watched.watcher.stop()
    expect(warnings).toEqual([])
  })

  test('whose folder is gone is told of, and again when it has come back', async () => {
    const watched = new Watched({ 'app/guest.py': '1' }, 'app/guest.py')
    await watched.by(() => rmSync(watched.folder, { recursive: true }))
    await watched.by(() => make(watched.folder, { 'app/guest.py': '2' }))
    await watched.by(() => writeFileSync(watched.at('app/guest.py'), '3'))
    watched.watcher.stop()
    expect(warnings).toEqual([])
  })

  test('in more folders than are watched is a warning, once', async () => {
    const warning = nextWarning()
    const names = Array.from(
      { length: 300 },
      (_, number) => `${'a'.repeat(1 + (number % 20))}/${'b'.repeat(1 + number / 20)}`,
    )
    const watched = new Watched({ 'guest.py': '1', ...Object.fromEntries(names.map((name) => [`${name}/x.py`, '1'])) })
    await warning
    await watched.by(() => writeFileSync(watched.at('guest.py'), '2'))
    watched.watcher.stop()
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/more folders than are watched.*reload\(\)/),
    ])
  })
})
