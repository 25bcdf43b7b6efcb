// SPDX-License-Identifier: Apache-2.0
// Shared guests among strangers: who may have the address where hosts find a guest, and what that may do.
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { LoadOptions } from '../../src/common/options.ts'
import { load } from '../../src/runtime/load.ts'
import { runtimes } from '../../src/runtime/registry.ts'
import { rejection, until } from '../support/calls.ts'
import { dist, said, script } from '../support/child.ts'
import { temporaryFolder } from '../support/folders.ts'
import { inRoot, python, rust } from '../support/paths.ts'
import { descriptors, ended, isAlive, parentOf, started } from '../support/processes.ts'
import { startWatched, types, type Watched } from '../support/watched.ts'

const options: LoadOptions = { placement: 'process', shared: 'strangers' }
let folder: string
let before: string | undefined

beforeEach(() => {
  folder = temporaryFolder()
  before = process.env.XDG_RUNTIME_DIR
  process.env.XDG_RUNTIME_DIR = folder
})

afterEach(async () => {
  if (before === undefined) delete process.env.XDG_RUNTIME_DIR
  else process.env.XDG_RUNTIME_DIR = before
  await until(() => started().length === 0)
})

/** The files of all sockets where guests are found. */
const files = (): string[] => readdirSync(join(folder, 'polyloop'))

/** The path where this guest is found. */
async function addressOf(locator: string, more: LoadOptions = {}): Promise<string> {
  const guest = await load(locator, { ...options, ...more })
  const [name] = files()
  await guest.unload()
  await until(() => files().length === 0)
  return join(folder, 'polyloop', name as string)
}

/** A program that is no broker and has that path. */
class Stranger {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #lines: AsyncIterator<string>

  constructor(path: string, what: string, text = '') {
    const args = [inRoot('hosts/node/test/suites/stranger.py'), path, what, text]
    // It is none of those that must have ended before.
    this.#child = spawn('python3', args, { stdio: 'pipe', env: { ...process.env, POLYLOOP_TEST_HOST: '' } })
    this.#child.stderr.pipe(process.stderr)
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]()
    onTestFinished(() => this.end())
  }

  /** Waits until it says so. */
  async has(word: string): Promise<void> {
    expect((await this.#lines.next()).value).toBe(word)
  }

  /** Lets it go on. */
  goOn(): void {
    this.#child.stdin.write('\n')
  }

  async end(): Promise<void> {
    this.#child.stdin.destroy()
    if (this.#child.exitCode === null) await once(this.#child, 'exit')
  }
}

async function stranger(path: string, what: string, text?: string): Promise<Stranger> {
  const one = new Stranger(path, what, text)
  await one.has('listens')
  return one
}

/** Loads this guest, and hears what happens to it. */
const watched = (locator: string): Promise<Watched> => startWatched(locator, { ...options, ...same })
const same = { config: { same: true } }

describe('the address of a shared guest', () => {
  test('is a socket in a folder that its user alone can enter, and is gone with the guest', async () => {
    const guest = await load(rust, options)
    const [mode, owner] = [statSync(join(folder, 'polyloop')).mode & 0o777, statSync(folder).uid]
    expect([mode, owner]).toEqual([0o700, process.geteuid?.()])
    const [name] = files()
    const socket = statSync(join(folder, 'polyloop', name as string))
    expect([socket.isSocket(), socket.mode & 0o777]).toEqual([true, 0o600])
    await guest.unload()
    await until(() => files().length === 0)
  })

  test('is below the temporary folder if there is no other', async () => {
    const temporary = temporaryFolder()
    const env = { ...process.env, XDG_RUNTIME_DIR: '', TMPDIR: temporary }
    const source = `
      const { readdirSync } = await import('node:fs')
      const guest = await load(${JSON.stringify(rust)}, ${JSON.stringify(options)})
      say(readdirSync(${JSON.stringify(temporary)} + '/polyloop-' + process.geteuid()).length)
      await guest.unload()
    `
    expect(await said(source, { env })).toEqual([1])
    await until(() => readdirSync(join(temporary, `polyloop-${process.geteuid?.()}`)).length === 0)
  })

  test('may be longer than a socket can have it', async () => {
    const deep = join(folder, 'x'.repeat(200))
    mkdirSync(deep, { mode: 0o700 })
    process.env.XDG_RUNTIME_DIR = deep
    const guest = await load(rust, options)
    expect(readdirSync(join(deep, 'polyloop')).length).toBe(1)
    await guest.unload()
    await until(() => readdirSync(join(deep, 'polyloop')).length === 0)
  })

  test('is in no folder that others may enter: the load says what to do', async () => {
    mkdirSync(join(folder, 'polyloop'))
    chmodSync(join(folder, 'polyloop'), 0o755)
    await rejection(load(rust, options), 'init-failed', 'is open to other users', 'set XDG_RUNTIME_DIR')
    chmodSync(join(folder, 'polyloop'), 0o700)
    await (await load(rust, options)).unload()
  })

  test('that a broker has left which was killed is taken by another one', async () => {
    const guest = await watched(python('lives'))
    const name = files()
    process.kill(parentOf(guest.pid()) as number, 'SIGKILL')
    await until(() => types(guest).includes('restarted'))
    expect(files()).toEqual(name)
    await guest.unload()
    await until(() => files().length === 0)
  })
})

describe('who has the address and', () => {
  test.each([
    ['lets nobody in', 'full'],
    ['lets hosts in and says nothing', 'silent'],
  ])('%s keeps a load waiting, and no unload and no end of a program', async (_, what) => {
    const path = await addressOf(rust)
    const one = await stranger(path, what)
    const before = descriptors().length
    const loading = rejection(load(rust, options), 'unloaded', 'load it again')
    await until(() => runtimes().length > 0)
    if (what === 'silent') await one.has('accepted')
    await Promise.all(runtimes().map((runtime) => runtime.unload()))
    await loading
    await until(() => descriptors().length <= before)
    const source = `
      load(${JSON.stringify(rust)}, ${JSON.stringify(options)}).catch(() => {})
      setImmediate(() => process.exit(7))
    `
    expect(await script(source)).toMatchObject({ code: 7 })
  })

  test.each(['{nope', 'null', '[]', '{"event":"welcome"}', '{"event":"welcome","pid":1}', 'LONG'])(
    'begins with %j, as no broker does, fails the load',
    async (text) => {
      const one = await stranger(await addressOf(rust), 'first', text)
      await rejection(load(rust, options), 'init-failed', /says what no broker says|sends no parking words/)
      await one.end()
    },
  )

  test('gives memory that it can take away again fails the load, and ends nobody', async () => {
    await stranger(await addressOf(rust), 'unsealed')
    await rejection(load(rust, options), 'init-failed', 'is not sealed')
  })

  test.each([
    ['says', '{nope'],
    ['says', 'null'],
    ['says', '[{}]'],
    ['says', '{"event":"exit","code":[],"signal":{},"lines":7}'],
    ['says', '{"event":"output","stream":"stdout","text":"x"}'],
    ['says', '{"event":"unserved","message":"too late"}'],
    ['says', 'LONG'],
    ['prints', '{nope'],
    ['prints', 'null'],
    ['prints', '{"stream":"stdin","text":7}'],
    ['prints', 'LONG'],
  ])('%s %j is out of reach: calls are rejected, and there is another one', async (what, text) => {
    const locator = python('lives')
    const one = await stranger(await addressOf(locator, same), what, text)
    const guest = await watched(locator)
    const call = rejection(guest.call('echo', [1]), 'guest-crashed', "is out of reach: its broker says '")
    one.goOn()
    await call
    await until(() => types(guest).includes('restarted'))
    expect(await guest.call('echo', [1])).toBe(1)
    expect(types(guest)).toEqual(['starting', 'ready', 'crashed', 'starting', 'restarted'])
    await guest.unload()
    await one.end()
  })

  test('ends in the middle of a line has ended, and no more', async () => {
    const locator = python('lives')
    const one = await stranger(await addressOf(locator, same), 'half', '{"event":"exit","code":0,"sig')
    const guest = await watched(locator)
    const call = rejection(guest.call('echo', [1]), 'guest-crashed', 'has ended with its broker')
    one.goOn()
    await call
    await until(() => types(guest).includes('restarted'))
    await guest.unload()
  })
})

test('a program that has given up the rights of root shares a guest among its threads', async () => {
  if (process.geteuid?.() !== 0) return
  const open = temporaryFolder()
  const shared = { placement: 'process', shared: true }
  execFileSync('chown', ['65534', open, folder])
  const source = `
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    const { Worker } = await import('node:worker_threads')
    const guest = await load(${JSON.stringify(rust)}, ${JSON.stringify(shared)})
    const worker = new Worker(\`
      import { parentPort } from 'node:worker_threads'
      import { load } from '${dist('index.js')}'
      const guest = await load(${JSON.stringify(rust)}, ${JSON.stringify(shared)})
      parentPort.postMessage(guest.stats().instances[0].pid)
      await guest.unload()
    \`, { eval: true, execArgv: ['--input-type=module'] })
    const pid = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    say(pid === guest.stats().instances[0].pid)
    await guest.unload()
  `
  expect(await said(source, { env: { ...process.env, TMPDIR: open } })).toEqual([true])
})

test('a host has no child that it would have to wait for', async () => {
  const guest = await load(rust, options)
  const pid = guest.stats().instances[0]?.pid as number
  const broker = parentOf(pid) as number
  await guest.unload()
  await ended(broker)
  expect(isAlive(pid)).toBe(false)
  // One that has ended and was not waited for has a parent, too.
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(Number(name)) === process.pid)
  const names = children.map((child) => execFileSync('ps', ['-o', 'comm=', child], { encoding: 'utf8' }).trim())
  expect(names.filter((name) => name.startsWith('polyloop'))).toEqual([])
})
