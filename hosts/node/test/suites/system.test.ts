// SPDX-License-Identifier: Apache-2.0
// What the system refuses, under limits that are real: everything rejects with an error of ours that says what to do, nothing
// is left, and the program ends.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { native } from '../../src/native/addon.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection, until } from '../support/calls.ts'
import { dist, said, script } from '../support/child.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { anyCall, loadRust } from '../support/guests.ts'
import { python, rust } from '../support/paths.ts'
import { childrenOf, descriptors } from '../support/processes.ts'

const folder = temporaryFolder()
const isRoot = process.getuid?.() === 0
const nobody = 65_534
/** Not what is found by the name: that may be a script, which says what it thinks of a folder that is gone. */
const interpreter = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim()

/** A load in words; the guest that comes of it answers and is unloaded. Every program here has it. */
const head = `
import { PolyloopError } from '${dist('index.js')}'
import { closeSync, openSync, mkdtempSync, rmdirSync } from 'node:fs'
const rust = ${JSON.stringify(rust)}
const basic = ${JSON.stringify(python('basic'))}
const tried = async (locator, options) => {
  try {
    const guest = await load(locator, { restart: options?.placement === 'process' ? false : undefined, ...options })
    const sum = await guest.add(1, 2)
    await guest.unload()
    return ['answered', sum]
  } catch (error) {
    return error instanceof PolyloopError ? [error.code, error.message] : ['a raw error', error?.stack]
  }
}
`

type Said = [code: string, message: string]

describe('a host without descriptors', () => {
  const placements = ['{ placement: "thread" }', '{ placement: "process" }', '{ placement: "process", shared: true }']

  // However many are left: the guest is refused, in whatever step of its start they are used up, or answers.
  test.each(placements)('is refused guests with %s, and has them when it has descriptors again', async (options) => {
    const lines = (await said(
      `${head}
      const files = []
      try { for (;;) files.push(openSync('/dev/null')) } catch {}
      for (let left = 0; left <= 20; left++) {
        if (left > 0) closeSync(files.pop())
        say(await tried(rust, ${options}))
      }
      for (const file of files) closeSync(file)
      say(await tried(rust, ${options}))
    `,
      { limits: ['--nofile=120:120'] },
    )) as Said[]
    expect(lines.pop()).toEqual(['answered', 3])
    expect(lines).toHaveLength(21)
    expect(lines[0]).toMatchObject(['overloaded', expect.stringContaining('ulimit -n')])
    for (const line of lines) {
      const refused = ['overloaded', expect.stringContaining('ulimit -n')]
      expect(line).toEqual(line[0] === 'answered' ? ['answered', 3] : refused)
    }
  })

  test.each(placements.slice(1))(
    'whose guest with %s dies has another one once it has descriptors again',
    async (options) => {
      const lines = await said(
        `${head}
      const restart = { attempts: Number.POSITIVE_INFINITY, minDelay: 1, maxDelay: 1 }
      const crashes = []
      const onEvent = ({ type, error }) => {
        if (type === 'crashed') crashes.push(error)
        wake?.()
      }
      let wake
      const alive = setInterval(() => {}, 1 << 30)
      const guest = await load(rust, { ...${options}, restart, onEvent })
      const files = []
      for (let left = 0; left <= 20; left++) {
        crashes.length = 0
        try { for (;;) files.push(openSync('/dev/null')) } catch {}
        for (let more = 0; more < left; more++) closeSync(files.pop())
        process.kill(guest.stats().instances[0].pid, 'SIGKILL')
        // The death itself, and a restart that was refused, or its success.
        const serves = () => guest.stats().instances[0]?.state === 'ready'
        await new Promise((resolve) => {
          wake = () => { if (crashes.length > 1 || (crashes.length === 1 && serves())) resolve() }
        })
        wake = undefined
        const odd = crashes.slice(1).filter((error) => !/ulimit -n/.test(error.message) || !(error instanceof PolyloopError))
        while (files.length > 0) closeSync(files.pop())
        say([await guest.add(left, 0), ...odd.map(({ message }) => message)])
      }
      clearInterval(alive)
      await guest.unload()
    `,
        { limits: ['--nofile=140:140'] },
      )
      expect(lines).toEqual(Array.from({ length: 21 }, (_, left) => [left]))
    },
  )

  test('is refused a Python, which is asked in a process of its own', async () => {
    const lines = await said(
      `${head}
      const files = []
      await tried(rust)
      try { for (;;) files.push(openSync('/dev/null')) } catch {}
      say(await tried(basic))
      for (const file of files) closeSync(file)
      say(await tried(basic))
    `,
      { limits: ['--nofile=120:120'] },
    )
    expect(lines).toEqual([
      ['overloaded', expect.stringContaining('ulimit -n')],
      ['answered', 3],
    ])
  })

  test('does not watch the code of a guest, which is a warning, and calls it', async () => {
    const { stdout, stderr, code } = await script(
      `${head}
      const files = []
      const guest = await load(basic)
      await guest.unload()
      // The next load needs no more than one has had.
      try { for (;;) files.push(openSync('/dev/null')) } catch {}
      const { native } = await import('${dist('native/addon.js')}')
      const { CodeWatcher } = await import('${dist('instances/code-watcher.js')}')
      new CodeWatcher('/tmp/guest.py', () => false, () => {}).stop()
      for (const file of files) closeSync(file)
      say(await tried(basic))
    `,
      { limits: ['--nofile=120:120'] },
    )
    expect([code, stdout]).toEqual([0, '["answered",3]\n'])
    expect(stderr).toContain('PolyloopReload: the code of the guest at /tmp/guest.py is not watched: EMFILE')
    expect(stderr).toContain('raise fs.inotify.max_user_instances')
  })
})

test.runIf(isRoot)('a user whose inotify is used up has a guest with hotReload, and a warning', async () => {
  const guest = write(folder, 'watched.py', 'def add(a, b): return a + b\n')
  chmodSync(folder, 0o755)
  const holder = holdInotify()
  await once(createInterface(holder.stdout as NodeJS.ReadableStream), 'line')
  const { stdout, stderr, code } = await script(`${head}
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody})
    say(await tried('python:${guest}', { hotReload: true }))
    say(await tried('python:${guest}', { hotReload: true, placement: 'process' }))
  `)
  const ended = once(holder, 'exit')
  holder.kill('SIGKILL')
  await ended
  expect([code, stdout]).toEqual([0, '["answered",3]\n["answered",3]\n'])
  expect(stderr.match(/is not watched: EMFILE.*raise fs\.inotify\.max_user_instances/g)).toHaveLength(2)
})

/** A process of nobody's that takes all inotify instances of that user, says so, and keeps them. */
function holdInotify(): ChildProcess {
  const source = `
import ctypes, os, sys
os.setgroups([]); os.setgid(${nobody}); os.setuid(${nobody})
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0: pass
print('held', flush=True)
sys.stdin.read()
`
  return spawn('python3', ['-c', source], { stdio: ['pipe', 'pipe', 'inherit'], cwd: '/' })
}

test.each([1_500, 4_000, 40_000])('an address space of %d MB: guests answer, or are refused', async (megabytes) => {
  const limits = [`--as=${megabytes * 1_000_000}`]
  const { code, stdout, stderr } = await script(
    `${head}
    for (const options of [{}, { placement: 'process' }, { placement: 'process', shared: true }]) say(await tried(rust, options))
  `,
    { limits },
  )
  // Node.js itself may not be able to start in so little.
  if (code !== 0 && stdout === '') return expect(stderr).not.toContain('polyloop')
  for (const line of stdout.trim().split('\n')) expect(line).toMatch(/^\["(answered|overloaded|init-failed)",/)
})

test('a working directory that is gone: what starts there is refused, whole paths are not', async () => {
  const lines = (await said(`${head}
    const folder = mkdtempSync('${folder}/gone-')
    process.chdir(folder)
    rmdirSync(folder)
    say(await tried('./libx.so'))
    say(await tried('python:./x.py'))
    say(await tried(basic, { python: './python3' }))
    say(await tried(basic, { venv: 'venv' }))
    for (const options of [{}, { placement: 'process' }, { placement: 'process', shared: true }]) say(await tried(rust, options))
    say(await tried(basic, { python: '${interpreter}' }))
    say(await tried(basic, { python: '${interpreter}', placement: 'process' }))
  `)) as Said[]
  const refused = ['invalid-argument', expect.stringContaining('process.chdir()')]
  expect(lines.slice(0, 4)).toEqual([refused, refused, refused, refused])
  expect(lines.slice(4)).toEqual(Array.from({ length: 5 }, () => ['answered', 3]))
})

test.each([
  ['that is missing', join(folder, 'missing'), 'ENOENT'],
  ['that is no folder', write(folder, 'file', ''), 'ENOTDIR'],
])('a TMPDIR %s: a Rust guest on threads is not reloaded, and goes on', async (_, path, why) => {
  const source = `${head}
    const guest = await load(rust)
    say(await guest.reload().then(() => ['reloaded'], (error) => [error instanceof PolyloopError, error.code, error.message]))
    say(await guest.add(1, 2))
    await guest.unload()
  `
  const [outcome, sum] = await said(source, { env: { ...process.env, TMPDIR: path } })
  expect(outcome).toEqual([true, 'init-failed', expect.stringMatching(new RegExp(`copied to ${path}.*TMPDIR.*${why}`))])
  expect(sum).toBe(3)
})

test('an environment that is too long for a process: too-large', async () => {
  const lines = await said(`${head}
    process.env.LONG = 'x'.repeat(1 << 20)
    say(await tried(rust, { placement: 'process' }))
    say(await tried(basic, { placement: 'process' }))
    say(await tried(basic))
    say(await tried(rust))
  `)
  const refused = ['too-large', expect.stringContaining('shorten process.env')]
  expect(lines).toEqual([refused, refused, refused, ['answered', 3]])
})

test.runIf(isRoot)('a program that has given up root: guests answer, or are refused', async () => {
  const lines = (await said(`${head}
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody})
    for (const options of [{}, { placement: 'process' }, { placement: 'process', shared: true }]) say(await tried(rust, options))
  `)) as Said[]
  expect(lines.slice(0, 2)).toEqual([
    ['answered', 3],
    ['answered', 3],
  ])
  expect(lines[2]?.[0]).toMatch(/^(answered|init-failed)$/)
})

test.each(['thread', 'process'])(
  'a program whose output nobody reads goes on, with a guest (%s) that prints',
  async (placement) => {
    const done = join(folder, `done-${placement}`)
    mkdirSync(done)
    const source = `
    import { load } from '${dist('index.js')}'
    import { rmdirSync } from 'node:fs'
    const guest = await load(${JSON.stringify(rust)}, { placement: '${placement}' })
    process.stdin.once('data', async () => {
      for (let round = 0; round < 20; round++) await guest.log_lines(500)
      await guest.unload()
      rmdirSync('${done}')
      process.stdin.destroy()
    })
    process.stdout.write('x')
  `
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], { stdio: 'pipe' })
    await once(child.stdout, 'data')
    child.stdout.destroy()
    child.stderr.destroy()
    child.stdin.write('x')
    const [code] = await once(child, 'exit')
    expect(code).toBe(0)
    // It came to its end.
    expect(() => mkdirSync(done)).not.toThrow()
  },
)

describe('a native function that throws', () => {
  afterEach(() => void vi.restoreAllMocks())

  const raw = (): never => {
    throw new Error('Cannot allocate memory (os error 12)')
  }

  test.each([
    ['createConnection', 'thread'],
    ['start', 'thread'],
    ['createConnection', 'process'],
    ['privateMemory', 'process'],
    ['childDescriptors', 'process'],
  ] as const)(
    '%s: the load of a guest (%s) is refused, nothing is left, and the next load starts over',
    async (name, placement) => {
      await loadRust({ placement }).then((guest) => guest.unload())
      const before = descriptors()
      const options = { placement, config: { native: name, placement } }
      const spy = vi.spyOn(native, name).mockImplementation(raw)
      await rejection(load(rust, options), 'overloaded', 'os error 12', 'ulimit -v')
      spy.mockRestore()
      expect(childrenOf(process.pid)).toEqual([])
      const guest = await load(rust, options)
      const reload = vi.spyOn(native, name).mockImplementation(raw)
      await rejection(guest.reload(), 'overloaded', 'ulimit -v')
      reload.mockRestore()
      expect(await anyCall(guest, 'add', 1, 2)).toBe(3)
      await guest.unload()
      expect(descriptors()).toEqual(before)
    },
  )

  test('close: a guest on threads is told to end until it can be, with a warning, and the next load starts over', async () => {
    const options = { placement: 'thread', config: { native: 'close' } } as const
    const guest = await load(rust, options)
    const warnings: Error[] = []
    const listener = (warning: Error): void => void warnings.push(warning)
    process.on('warning', listener)
    const spy = vi.spyOn(native, 'close').mockImplementationOnce(raw)
    await guest.reload()
    await until(() => guest.stats().instances.length === 1)
    expect(spy).toHaveBeenCalledTimes(2)
    spy.mockImplementationOnce(raw).mockImplementationOnce(raw)
    await guest.unload()
    expect(spy).toHaveBeenCalledTimes(5)
    process.off('warning', listener)
    expect(warnings.map(({ name }) => name)).toEqual(['PolyloopUnload', 'PolyloopUnload'])
    expect(warnings[0]?.message).toContain('os error 12')
    await (await load(rust, options)).unload()
  })
})

test.runIf(isRoot)(
  'a user who may start few threads: a process of ours that cannot serve says what to raise',
  async () => {
    const tries = await said(
      `${head}
    const { spawn } = await import('node:child_process')
    const { once } = await import('node:events')
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody})
    const children = []
    const fill = () => {
      for (;;) {
        const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
        child.on('error', () => {})
        if (child.pid === undefined) return
        children.push(child)
      }
    }
    fill()
    for (let left = 3; left < 7; left++) {
      for (const child of children.splice(0, left)) {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      for (const locator of [rust, basic]) {
        say(await tried(locator, { placement: 'process', log: () => {}, config: left }))
      }
      fill()
    }
    for (const child of children) child.kill('SIGKILL')
  `,
      { limits: ['--nproc=64:64'] },
    )
    expect(tries.length).toBe(8)
    for (const [code, message] of tries as Said[]) {
      if (!/while it started/.test(message)) continue
      expect([code, message]).toEqual(['overloaded', expect.stringMatching(/this process cannot serve.*ulimit -u/)])
    }
    expect((tries as Said[]).filter(([, message]) => /while it started/.test(message)).length).toBeGreaterThan(1)
  },
)

test.runIf(isRoot)('a user who may start no thread: guests on threads end when that one may', async () => {
  const { stdout, stderr, code } = await script(
    `${head}
    const { spawn } = await import('node:child_process')
    const { once } = await import('node:events')
    process.setgroups([]); process.setgid(${nobody}); process.setuid(${nobody})
    const guest = await load(rust)
    const children = []
    for (;;) {
      const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
      child.on('error', () => {})
      if (child.pid === undefined) break
      children.push(child)
    }
    say(await tried(rust, { config: 'refused' }))
    let isOver = false
    const unloaded = guest.unload().then(() => { isOver = true })
    await once(process, 'warning')
    say(isOver)
    for (const child of children) child.kill('SIGKILL')
    await unloaded
    say(await tried(rust))
  `,
    { limits: ['--nproc=64:64'] },
  )
  expect(stderr).toMatch(/PolyloopUnload: the guest cannot be ended: .*ulimit -u.*that is tried until it can be done/)
  expect([
    code,
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ]).toEqual([0, [['overloaded', expect.stringContaining('ulimit -u')], false, ['answered', 3]]])
})
