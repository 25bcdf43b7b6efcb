// SPDX-License-Identifier: Apache-2.0
// A guest's process that is to serve several hosts, as one of them sees it; `lifecycle/shared.test.ts` has several.
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { LoadOptions } from '../../src/common/options.ts'
import { runtimes } from '../../src/runtime/registry.ts'
import { callAfterClosing, rejection, until } from '../support/calls.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { python, rust } from '../support/paths.ts'
import { brokerOf, childrenOf, descriptors, ended, isAlive, parentOf, started } from '../support/processes.ts'
import { after } from '../support/time.ts'
import { startWatched, types, type Watched } from '../support/watched.ts'

const lives = python('lives')

/** A guest that is shared, what happened to it and what it printed. */
const start = (locator: string, options: LoadOptions = {}, config: object = {}): Promise<Watched> =>
  startWatched(locator, { shared: true, ...options }, config)

describe('a guest that is shared', () => {
  test('is started by its broker, which is no child of any host, and both end with the last unload', async () => {
    await start(rust).then((guest) => guest.unload())
    const before = descriptors().length
    for (const locator of [rust, lives]) {
      const guest = await start(locator)
      const broker = brokerOf(guest.pid()) as number
      expect(started()).toEqual(expect.arrayContaining([broker, guest.pid()]))
      expect(childrenOf(process.pid)).not.toContain(broker)
      if (locator === lives) expect(await guest.call('parent')).toBe(parentOf(guest.pid()))
      expect(types(guest)).toEqual(['starting', 'ready'])
      expect(await guest.call('echo', [Buffer.alloc(100_000, 7)])).toEqual(Buffer.alloc(100_000, 7))
      const pid = guest.pid()
      await guest.unload()
      await rejection(guest.call('echo', [1]), 'unloaded')
      await ended(pid)
      await ended(broker)
    }
    await until(() => descriptors().length <= before)
  })

  test('that does not end when nobody is left is ended after drainTimeout', async () => {
    const guest = await start(lives, { drainTimeout: 100 }, { linger: 1000 })
    const pid = guest.pid()
    await guest.unload()
    await ended(pid)
  })

  test('takes what it started in its group with it', async () => {
    const guest = await start(lives)
    const sleeper = (await guest.call('start_sleeper')) as number
    expect(isAlive(sleeper)).toBe(true)
    process.kill(guest.pid(), 'SIGKILL')
    await ended(sleeper)
    await guest.unload()
  })

  test('hands no descriptor on to programs that it starts', async () => {
    const guest = await start(lives)
    const files = (await guest.call('descriptors')) as string[]
    expect(files.filter((file) => /memfd|socket/.test(file))).toEqual([])
    await guest.unload()
  })

  test('prints every line once, long ones and many, in order', async () => {
    const guest = await start(lives)
    const text = Array.from({ length: 5000 }, (_, index) => `line ${index} ${'ä'.repeat(index % 100)}`)
    await guest.call('say', [text.join('\n')])
    await guest.call('say', ['x'.repeat(300_000)])
    await until(() => guest.lines.join('').length >= text.join('\n').length + 300_000)
    expect(guest.lines.slice(0, 5000)).toEqual(text.map((line) => `${line}\n`))
    expect(guest.lines.slice(5000).join('').replaceAll('\n', '')).toBe('x'.repeat(300_000))
    await guest.unload()
  })

  test('may be unloaded at any time of its start', async () => {
    const before = descriptors().length
    for (const turns of [0, 1, 2, 5, 10, 50]) {
      const loading = rejection(start(lives), 'unloaded', 'load it again')
      await until(() => runtimes().length > 0)
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
      await Promise.all([loading, ...runtimes().map((core) => core.unload())])
    }
    await until(() => started().length === 0)
    await until(() => descriptors().length <= before)
  })

  test('that has failed to start is not found again while its process ends', async () => {
    const folder = temporaryFolder()
    const code = (init: string): string =>
      write(folder, 'slow.py', `import atexit, time\n\ndef init(config):\n    ${init}\n\ndef ok(): return 'mended'\n`)
    const path = code("atexit.register(time.sleep, 0.5); raise ValueError('not yet')")
    const load = (): Promise<Watched> => start(`python:${path}`, { config: { slow: folder } })
    await rejection(load(), 'init-failed', 'not yet')
    code('pass')
    const guest = await load()
    expect(await guest.call('ok')).toBe('mended')
    await guest.unload()
  })

  test('and lives on as another program is ended', async () => {
    const guest = await start(lives, { restart: false })
    const pid = guest.pid()
    const broker = brokerOf(pid) as number
    const call = guest.call('become_another_program')
    await rejection(call, 'guest-crashed', 'has hung up', 'runs another program', 'SIGKILL')
    await Promise.all([ended(pid), ended(broker)])
    await guest.unload()
  })

  test('and closes what it has not opened ends, and says so', async () => {
    const guest = await start(lives, { restart: false, spin: false })
    await rejection(callAfterClosing(guest), 'guest-crashed', 'SIGKILL', 'closed a descriptor')
    await guest.unload()
  })

  test('a program that runs and never greets: init-failed, and it is ended', async () => {
    const load = after(20_000, () => start(lives, { python: '/usr/bin/yes' }))
    await rejection(load, 'init-failed', 'does not speak as', 'the option python or venv')
    await until(() => started().length === 0)
  })
})

describe('a guest that is shared, whose guard is stopped,', () => {
  /** Its guard is stopped; what is to be gone at the end. */
  async function stopped(): Promise<{ guest: Watched; broker: number; all: number[] }> {
    const guest = await start(lives, { drainTimeout: 10, restart: false })
    const guard = parentOf(guest.pid()) as number
    const broker = parentOf(guard) as number
    process.kill(guard, 'SIGSTOP')
    return { guest, broker, all: [guest.pid(), guard, broker] }
  }

  test('goes with the last unload', async () => {
    const { guest, all } = await stopped()
    await guest.unload()
    await Promise.all(all.map(ended))
  })

  test('goes with its broker', async () => {
    const { guest, broker, all } = await stopped()
    process.kill(broker, 'SIGKILL')
    await Promise.all(all.map(ended))
    await rejection(guest.call('echo', [1]), 'guest-crashed')
    await guest.unload()
  })

  test('and that dies says how', async () => {
    const { guest, all } = await stopped()
    await rejection(guest.call('kill', [11]), 'guest-crashed', 'was killed by SIGSEGV')
    await Promise.all(all.map(ended))
    await guest.unload()
  })
})

describe('a process that cannot be had', () => {
  const folder = temporaryFolder()
  const plain = write(folder, 'plain', 'no program\n')

  test.each([
    ['no-python-of-this-name', 'not-found', "there is no program 'no-python-of-this-name'"],
    [join(folder, 'python3'), 'not-found', 'there is no program'],
    [plain, 'init-failed', 'cannot be run'],
    ['/bin/true', 'init-failed', 'exited with code 0 while it started'],
    ['/bin/false', 'init-failed', 'exited with code 1 while it started'],
  ] as const)('%s: %s', async (program, code, words) => {
    const before = descriptors().length
    await rejection(start(lives, { python: program }), code, words)
    await until(() => started().length === 0)
    await until(() => descriptors().length <= before)
  })
})
