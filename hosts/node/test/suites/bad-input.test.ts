// SPDX-License-Identifier: Apache-2.0
// What callers do wrong, and the message that tells them what to do.
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { PolyloopErrorCode } from '../../src/common/errors.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import { load } from '../../src/runtime/load.ts'
import { isSettled, rejection, unpark, until } from '../support/calls.ts'
import { said, script } from '../support/child.ts'
import { cGuests, emptyVenv, temporaryFolder, write } from '../support/folders.ts'
import { anyCall, loadPython, loadRust, type RustGuest } from '../support/guests.ts'
import { inRoot, python, root, rust, rustLibrary } from '../support/paths.ts'

const c = cGuests()
const folder = temporaryFolder()
const basic = JSON.stringify(python('basic'))

type Row = readonly [what: string, locator: string, code: PolyloopErrorCode, ...words: (string | RegExp)[]]

describe('what is loaded', () => {
  const text = write(folder, 'text.so', 'not a library\n'.repeat(100))
  const rows: Row[] = [
    ['a missing Python file', 'python:./nope.py', 'not-found', `at ${process.cwd()}/nope.py`, 'correct the path'],
    [
      'a missing Python module',
      'python:nope_nowhere',
      'not-found',
      "No module named 'nope_nowhere'",
      'pip install ...',
    ],
    ['a missing library', './libnope.so', 'not-found', 'no library at', 'build it first'],
    ['a module without its scheme', 'numpy', 'not-found', 'no library at', "a Python module is 'python:numpy'"],
    ['a missing Python file without its scheme', './hello.py', 'not-found', `at ${process.cwd()}/hello.py`],
    ['a Python file with a scheme of no guest', 'pyton:./x.py', 'invalid-argument', "did you mean 'python:./x.py'?"],
    ['a missing Python file elsewhere', 'python:/nope.py', 'not-found', /at .nope.py: correct the path$/],
    [
      'a module of the working directory',
      'python:hosts',
      'not-found',
      `does not look at ${process.cwd()}/hosts: add`,
      'PYTHONPATH',
    ],
    [
      'a module that a package does not have',
      'python:json.nope',
      'not-found',
      'correct the name, json has no such module',
    ],
    [
      'an import from beside a file of a package',
      `python:${write(folder, 'package/main.py', 'from . import helper\ndef f(): pass\n')}`,
      'init-failed',
      'a file is loaded without its package',
      "load 'python:package.main'",
    ],
    [
      'an import of what lies above the file',
      `python:${write(folder, 'above/main.py', 'import package\ndef f(): pass\n')}`,
      'init-failed',
      `this Python does not look at ${folder}/package: add ${folder} to PYTHONPATH`,
    ],
    ['a syntax error', python('syntax_error'), 'init-failed', 'SyntaxError', 'line 5'],
    ['an init that raises', python('init_fails'), 'init-failed', 'RuntimeError: no model for None'],
    ['an import that fails', python('import_missing'), 'init-failed', 'no_such_package_anywhere', 'pip install ...'],
    ['a module without functions', python('no_functions'), 'init-failed', 'no public functions', '__all__'],
    ['a folder as Python file', `python:${folder}/`, 'not-found', 'is a folder', 'name a .py file'],
    ['a text file as library', text, 'init-failed', 'invalid ELF header', 'shared library for this machine'],
    ['a folder as library', folder, 'init-failed', 'directory', 'is it a shared library'],
    [
      'a library that is no guest',
      c('not_a_guest'),
      'init-failed',
      'does not export polyloop_guest_start',
      'guest kit',
    ],
    ['a guest of another ABI', c('wrong_abi'), 'init-failed', 'WrongAbi', 'built for a later version of the ABI'],
    ['a language that comes later', 'java:com.example.Text', 'invalid-argument', 'java: guests cannot be loaded yet'],
    ['a scheme with nothing after it', 'python:', 'invalid-argument', "names nothing after 'python:'"],
    ['an empty text', '', 'invalid-argument', "such as 'python:./text.py'"],
    ['a module name that is none', 'python:a-b', 'invalid-argument', "'a-b' is neither a Python module's name"],
  ]
  for (const [what, locator, code, ...words] of rows) {
    test(`${what}: ${code}`, async () => void (await rejection(load(locator), code, ...words)))
  }

  test('is no text', async () => {
    for (const locator of [42, null, undefined, {}, ['x']]) {
      await rejection(load(locator as never), 'invalid-argument', 'a locator is a text')
    }
  })

  test('a traceback of what failed to load is in the stack', async () => {
    const error = await rejection(load(python('init_fails'), { config: { a: 1 } }), 'init-failed')
    expect(error.stack).toContain('Traceback')
    expect(error.stack).toContain('init_fails.py')
    expect(error.guest).toMatchObject({ type: 'RuntimeError', message: "no model for {'a': 1}" })
  })

  test('can be corrected and loaded again', async () => {
    const path = write(folder, 'corrected.py', 'def answer(:\n')
    await rejection(load(`python:${path}`), 'init-failed', 'SyntaxError')
    write(folder, 'corrected.py', 'def answer(): return 42\n')
    await using guest = await load(`python:${path}`)
    expect(await anyCall(guest, 'answer')).toBe(42)
  })
})

describe('options', () => {
  const cycle: Record<string, unknown> = {}
  cycle.itself = cycle
  const rows: [options: unknown, ...words: string[]][] = [
    ['text', 'options of load are not an object'],
    [null, 'options of load are not an object'],
    [{ thread: 2 }, 'thread is not an option', 'there are config, threads'],
    [{ threads: 0 }, 'threads is not an integer from 1 to 1024'],
    [{ threads: '2' }, 'threads is not an integer'],
    [{ maxCalls: 0 }, 'maxCalls is not an integer from 1 to 65536'],
    [{ maxCalls: 65_537 }, 'maxCalls is not an integer from 1 to 65536'],
    [{ maxCalls: 1.5 }, 'maxCalls is not an integer'],
    [{ maxBytes: -1 }, 'maxBytes is not an integer'],
    [{ maxBytes: Number.NaN }, 'maxBytes is not an integer'],
    [{ maxPayload: 2 ** 30 + 1 }, 'maxPayload is not an integer from 1 to 1073741824'],
    [{ whenFull: 'drop' }, "whenFull is not 'wait' or 'fail'"],
    [{ codec: 'msgpack' }, 'codec is neither', 'polyloop/msgpack'],
    [{ codec: null }, 'codec is neither'],
    [{ codec: { name: '', encode: () => 0, decode: () => 0 } }, 'codec is neither'],
    [{ spin: 1 }, 'spin is not true or false'],
    [{ python: '' }, 'python is not a path'],
    [{ venv: 7 }, 'venv is not a path or a file URL'],
    [{ venv: new URL('https://host/venv') }, 'venv is not a path or a file URL'],
    [{ python: 'file://host/python3' }, 'python is not a path'],
    [{ log: true }, 'log is not a function'],
    [{ config: 1n }, 'config cannot be written as JSON', 'BigInt'],
    [{ config: cycle }, 'config cannot be written as JSON', 'circular'],
    [{ config: () => 1 }, 'config is not something that JSON can carry'],
  ]
  for (const [options, ...words] of rows) {
    test(inspect(options, { breakLength: Number.POSITIVE_INFINITY }), async () => {
      await rejection(load(rust, options as LoadOptions), 'invalid-argument', ...words)
    })
  }
})

describe('options that there are not', () => {
  const no = { nope: 1 } as object
  const calls: [of: string, call: (guest: RustGuest) => Promise<unknown>, ...words: string[]][] = [
    ['load', () => loadRust(no), 'nope is not an option of load: there are config, threads'],
    [
      'restart',
      () => loadRust({ placement: 'process', restart: no }),
      'an option of restart: there are attempts, minDelay',
    ],
    ['unload', (guest) => guest.unload({ timeot: 1 } as object), 'timeot is not an option of unload: there is timeout'],
    ['reload', (guest) => guest.reload(no), 'nope is not an option of reload: there are timeout, signal'],
    [
      'call',
      (guest) => guest.call('echo', [1], { timeot: 1 } as object),
      'timeot is not an option of a call',
      'deadline',
    ],
    ['send', (guest) => guest.send(Buffer.alloc(1), no), 'nope is not an option of a call: there are signal, deadline'],
    ['stream', (guest) => guest.stream('echo', [1], no)[Symbol.asyncIterator]().next(), 'not an option of a call'],
    ['duplex', (guest) => guest.duplex('echo', [], no)[Symbol.asyncIterator]().next(), 'not an option of a call'],
  ]
  for (const [of, call, ...words] of calls) {
    test(`${of}: invalid-argument`, async () => {
      await using guest = await loadRust()
      await rejection(call(guest), 'invalid-argument', ...words)
      expect(guest.stats()).toMatchObject({ calls: 0, inFlight: 0, queued: 0 })
      expect(await guest.add(1, 2)).toBe(3)
    })
  }
})

describe('arguments that the codec cannot carry', () => {
  const cycle: Record<string, unknown> = {}
  cycle.itself = cycle
  const rows: [what: string, args: unknown[], ...words: string[]][] = [
    ['a cycle', [cycle], 'a cycle at argument 1.itself', 'does not hold itself'],
    ['a promise', [Promise.resolve(1)], 'a promise at argument 1: await it'],
    ['a promise within', [1, { user: Promise.resolve(1) }], 'a promise at argument 2.user: await it'],
    ['a function', [() => 1], 'a function at argument 1: pass plain data'],
    ['a symbol', [Symbol('x')], 'a symbol at argument 1'],
    ['a function beside others', [1, () => 1], 'a function at argument 2'],
    ['a symbol beside others', [Symbol('x'), 1], 'a symbol at argument 1'],
    ['an invalid Date', [{ at: new Date(Number.NaN) }], 'an invalid Date at argument 1.at'],
    ['a toJSON that throws', [{ toJSON: () => JSON.parse('{') }], 'encoded as json'],
  ]
  for (const [what, args, ...words] of rows) {
    test(`${what}: invalid-argument`, async () => {
      await using guest = await loadRust()
      await rejection(guest.add(...args), 'invalid-argument', ...words)
      expect(guest.stats()).toMatchObject({ calls: 0, inFlight: 0 })
    })
  }

  test('undefined at the end is no argument', async () => {
    await using guest = await loadPython()
    expect(await guest.nothing(undefined)).toBeUndefined()
    expect(await guest.call('nothing', [])).toBeUndefined()
    expect(await guest.add(1, 2, undefined, undefined)).toBe(3)
  })

  test('send takes bytes only', async () => {
    await using guest = await loadRust()
    for (const value of ['text', 42, null, undefined, {}, [1]]) {
      await rejection(guest.send(value as never), 'invalid-argument', 'send takes a Buffer', 'use call() for values')
    }
  })

  test('send to a guest without handle says what it has', async () => {
    await using guest = await load(python('exports'))
    await rejection(guest.send(Buffer.alloc(1)), 'not-found', "no function 'handle'", 'public')
  })

  test('a call to a guest without functions says to send', async () => {
    await using guest = await load(c('raw_echo'))
    await rejection(guest.call('echo', [1]), 'not-found', 'it declares no functions: use send()')
    expect(await guest.send(Buffer.from('raw'))).toEqual(Buffer.from('raw'))
  })
})

describe('bytes that are detached', () => {
  test('before the call are invalid-argument, and cost no place', async () => {
    await using guest = await loadRust({ maxCalls: 1 })
    const memory = new ArrayBuffer(100)
    const views = [memory, new Uint8Array(memory), new Uint8Array(memory, 10, 20), new DataView(memory)]
    structuredClone(memory, { transfer: [memory] })
    for (const view of views) {
      await rejection(guest.send(view), 'invalid-argument', 'detached', 'before the call')
      await rejection(guest.length(view), 'invalid-argument', 'detached')
    }
    expect(await guest.length(new Uint8Array(0))).toBe(0)
    expect(guest.stats()).toMatchObject({ calls: 1, inFlight: 0 })
  })

  /** Many calls that read their bytes while `detach` takes them away, under repeated collection of garbage. */
  const whileRead = (detach: string): string => `
    const guest = await load(${JSON.stringify(rust)}, { threads: 2 })
    const fnv = (bytes) => { let h = 0x811c9dc5; for (const b of bytes) h = Math.imul(h ^ b, 0x01000193); return h >>> 0 }
    const detach = ${detach}
    const length = 1 << 20
    let wrong = 0
    for (let round = 0; round < 20; round++) {
      const bytes = Array.from({ length: 8 }, (_, i) => new Uint8Array(length).fill(round * 8 + i))
      const wanted = bytes.map(fnv)
      const calls = bytes.map((one) => guest.checksum(one))
      for (const { buffer } of bytes.splice(0)) detach(buffer)
      while (guest.stats().inFlight > 0) {
        gc()
        for (let i = 0; i < 4; i++) new Uint8Array(length).fill(255)
        await turns(1)
      }
      const sums = await Promise.all(calls)
      wrong += sums.filter((sum, i) => sum !== wanted[i]).length
    }
    say(wrong)
    while (guest.stats().pinned > 0) await turns(1)
    for (let i = 0; i < 5; i++) { gc(); await turns(5) }
    say(process.memoryUsage().arrayBuffers < 32 * length)
    await guest.unload()
  `
  const transfers = 'transfer' in ArrayBuffer.prototype
  const ways: [what: string, detach: string, possible: boolean][] = [
    ['moved to nobody', '(buffer) => structuredClone(buffer, { transfer: [buffer] })', true],
    [
      'sent to a port',
      '(bytes) => { const { port1, port2 } = new MessageChannel(); port2.onmessage = () => port2.close(); port1.postMessage(bytes, [bytes]) }',
      true,
    ],
    ['moved by transfer()', '(buffer) => buffer.transfer()', transfers],
    ['cut down by transfer(16)', '(buffer) => buffer.transfer(16)', transfers],
    ['grown by transfer(4 MiB)', '(buffer) => buffer.transfer(1 << 22)', transfers],
  ]
  for (const [what, detach] of ways.filter(([, , possible]) => possible)) {
    test(`(${what}) while the guest reads them stay readable, and are freed afterwards`, async () => {
      expect(await said(whileRead(detach), { node: ['--expose-gc'] })).toEqual([0, true])
    })
  }

  test('are responses that are sent again: their slab is not used until the guest has read them', async () => {
    const source = `
      const guest = await load(${JSON.stringify(rust)}, { threads: 1 })
      const length = 300_000
      const wanted = await guest.checksum(await guest.fill(length))
      let wrong = 0
      for (let round = 0; round < 40; round++) {
        const slow = guest.sleep_ms(5)
        const sums = [guest.checksum(await guest.fill(length)), guest.checksum((await guest.fill(length)).subarray(0))]
        gc()
        await turns(2)
        const others = [guest.echo(new Uint8Array(length).fill(1)), guest.echo(new Uint8Array(length).fill(2))]
        for (const sum of await Promise.all(sums)) if (sum !== wanted) wrong++
        await Promise.all([slow, ...others])
      }
      say(wrong)
      await guest.unload()
    `
    expect(await said(source, { node: ['--expose-gc'] })).toEqual([0])
  })
})

describe('unload', () => {
  test('lets calls in flight finish and refuses new ones; twice is once; then the guest can be loaded again', async () => {
    const config = { test: 'unload' }
    const guest = await loadRust({ config })
    const side = await loadRust()
    const parked = [guest.park(), guest.park()]
    const first = guest.unload()
    expect(guest.unload()).toBe(first)
    await rejection(guest.add(1, 2), 'unloaded', 'load it again')
    await rejection(guest.send(Buffer.alloc(1)), 'unloaded')
    expect(await isSettled(first)).toBe(false)
    await unpark(side, 2)
    expect(await Promise.all(parked)).toEqual([undefined, undefined])
    await first
    await guest.unload()
    await guest[Symbol.asyncDispose]()
    expect(guest.stats()).toMatchObject({ calls: 2, inFlight: 0 })
    const fresh = await loadRust({ config })
    expect(fresh).not.toBe(guest)
    expect(await fresh.add(1, 2)).toBe(3)
    await rejection(guest.add(1, 2), 'unloaded')
    await Promise.all([fresh.unload(), side.unload()])
  })

  test('under way lets a load of the same guest wait for its end', async () => {
    const config = { test: 'unload and load' }
    const guest = await loadPython({ config })
    const slow = guest.sleep_ms(20)
    const unloading = guest.unload()
    const fresh = await loadPython({ config })
    expect(await isSettled(unloading)).toBe(true)
    expect(await slow).toBe(20)
    expect(await fresh.config()).toEqual(config)
    await fresh.unload()
  })

  test('lets go of the runtime: it can be collected', async () => {
    const source = `
      const ref = await (async () => {
        const guest = await load(${JSON.stringify(rust)})
        await guest.add(1, 2)
        await guest.unload()
        return new WeakRef(guest)
      })()
      // A deref keeps it for the rest of its turn.
      for (let i = 0; i < 20 && ref.deref() !== undefined; i++) { await turns(10); gc() }
      say(ref.deref() === undefined)
    `
    expect(await said(source, { node: ['--expose-gc'] })).toEqual([true])
  })
})

describe('a second load', () => {
  test('with the same options is the same runtime, also while the first is under way, and has a handle of its own', async () => {
    const config = { test: 'twice' }
    const [one, two] = await Promise.all([loadRust({ config }), loadRust({ config })])
    const others = [await load(rustLibrary, { config }), await load(new URL(`file://${rustLibrary}`), { config })]
    const inits = await one.inits()
    for (const guest of [two, ...(others as unknown as RustGuest[])]) expect(await guest.inits()).toBe(inits)
    await Promise.all([two, ...others].map((guest) => guest.unload()))
    await two.unload()
    await rejection(two.add(1, 2), 'unloaded', 'load it again')
    await rejection(two.call('add', [1, 2]), 'unloaded')
    await rejection(two.send(Buffer.alloc(1)), 'unloaded')
    await rejection(two.stream('count' as 'echo', [1]).next(), 'unloaded')
    expect(await one.add(1, 2)).toBe(3)
    await one.unload()
    await rejection(one.add(1, 2), 'unloaded')
    const again = await loadRust({ config })
    expect(await again.add(1, 2)).toBe(3)
    await again.unload()
  })

  test('in functions side by side: each has the guest for as long as it needs it', async () => {
    const inits = await Promise.all(
      [10, 50, 60].map(async (ms) => {
        await using guest = await loadRust({ config: { test: 'side by side' }, onEvent: () => ms })
        await guest.sleep_ms(ms)
        return guest.inits()
      }),
    )
    expect(new Set(inits).size).toBe(1)
  })

  test('is told what happens, and says nothing of what it does not give again', async () => {
    const told: string[] = []
    const config = { test: 'told' }
    const placement = 'process'
    const one = await loadRust({ config, placement, threads: 2, onEvent: ({ type }) => told.push(`one ${type}`) })
    const two = await loadRust({ config, placement, onEvent: ({ type }) => told.push(`two ${type}`) })
    await one.unload()
    await two.reload()
    const ofTwo = ['two starting', 'two ready', 'two reloaded']
    expect(told).toEqual(['one starting', 'one ready', ...ofTwo])
    await two.unload()
  })

  test('with other options is invalid-argument and names them', async () => {
    await using one = await loadRust({ config: { test: 'other options' }, threads: 1, log: () => {} })
    const other = (options: LoadOptions): Promise<unknown> =>
      loadRust({ config: { test: 'other options' }, threads: 1, ...options })
    await rejection(other({ threads: 2 }), 'invalid-argument', 'with other options (threads): ', 'unload it first')
    await rejection(
      other({ maxCalls: 5, spin: false, log: () => {} }),
      'invalid-argument',
      'other options (maxCalls, spin): ',
    )
    expect(await one.add(1, 2)).toBe(3)
  })

  test('with another config is another runtime', async () => {
    await using one = await loadPython({ config: { test: 'one' } })
    await using two = await loadPython({ config: { test: 'two' } })
    expect(two).not.toBe(one)
    expect(await two.config()).toEqual({ test: 'two' })
    expect(await one.config()).toEqual({ test: 'one' })
  })

  test('after one that failed tries again', async () => {
    const options = { config: { fail: 'once' } }
    const [one, two] = [load(rust, options), load(rust, options)]
    await rejection(one, 'init-failed', 'once')
    await rejection(two, 'init-failed', 'once')
    await rejection(load(rust, options), 'init-failed', 'once')
  })
})

describe('a Python that cannot serve', () => {
  const advice = ['install Python 3.9 to 3.14', 'the option python or venv']
  const banner = write(folder, 'python-banner', '#!/bin/sh\necho "Welcome!"\n')
  chmodSync(banner, 0o755)
  const talker = write(folder, 'talker', '#!/bin/sh\necho "Fatal: no encodings\n<no frame>" >&2; exit 1\n')
  chmodSync(talker, 0o755)
  const rows: [options: LoadOptions, code: PolyloopErrorCode, ...words: string[]][] = [
    [{ python: '/bin/true' }, 'init-failed', "'/bin/true' is not a Python interpreter", ...advice],
    [{ python: '/bin/false' }, 'init-failed', "'/bin/false' cannot be used", ...advice],
    [{ python: folder }, 'init-failed', 'cannot be used as a Python interpreter', 'Permission denied', ...advice],
    [{ python: write(folder, 'text', 'x') }, 'init-failed', 'cannot be used as a Python interpreter', ...advice],
    [{ python: '/usr/bin/yes' }, 'init-failed', 'it says more than an interpreter does', ...advice],
    [{ python: banner }, 'init-failed', "it answered 'Welcome!", ...advice],
    [
      { python: talker },
      'init-failed',
      'it exited with code 1; ',
      'it wrote last:\nFatal: no encodings\n<no frame>',
      ...advice,
    ],
    [{ python: './no/python3' }, 'not-found', `${process.cwd()}/no/python3`, ...advice],
    [{ python: 'no-python-of-this-name' }, 'not-found', "'no-python-of-this-name'", ...advice],
    [{ venv: join(folder, 'no-venv') }, 'not-found', 'no virtual environment', 'python3 -m venv'],
  ]
  for (const [options, code, ...words] of rows) {
    test(`${inspect(options).replaceAll(folder, '<folder>').replaceAll(process.cwd(), '.')}: ${code}`, async () => {
      await rejection(loadPython({ placement: 'thread', ...options }), code, ...words)
      // That one never ends by itself: process.test.ts waits for what the host does then.
      if (options.python === '/usr/bin/yes') return
      await rejection(loadPython({ placement: 'process', ...options }), code, ...words.slice(-2))
    })
  }

  test('because it is too old: init-failed, with the version and the ones that can', async () => {
    const old = 's/"version_info": .3, [0-9]*/"version_info": [3, 8/'
    const python = write(folder, 'python3.8', `#!/bin/sh\npython3 "$@" | sed '${old}'\n`)
    chmodSync(python, 0o755)
    await rejection(
      loadPython({ placement: 'thread', python }),
      'init-failed',
      'is not CPython 3.9 to 3.14',
      'name another',
    )
  })

  test('because there is none: not-found', async () => {
    const source = `say(await outcome(load(${basic}))); say(await outcome(load(${basic}, { placement: 'thread' })))`
    const outcomes = await said(source, { env: { PATH: folder } })
    const missing = ['rejected', 'not-found', expect.stringContaining(advice[0] as string)]
    expect(outcomes).toEqual([missing, missing])
  })

  test('because another one runs in the process: init-failed, and the first goes on', async () => {
    const source = `
      const placement = 'thread'
      const guest = await load(${basic}, { placement })
      const other = await outcome(load(${basic}, { placement, config: 1, venv: process.env.VENV }))
      say([...other, await guest.add(1, 2)])
      await guest.unload()
    `
    const [outcome] = await said(source, { env: { ...process.env, VENV: emptyVenv() } })
    expect(outcome).toEqual(['rejected', 'init-failed', expect.stringContaining('holds one interpreter'), 3])
  })

  test('in a virtual environment serves with that environment', async () => {
    const source = `
      const guest = await load(${basic}, { venv: process.env.VENV })
      say((await guest.whoami()).prefix)
      await guest.unload()
    `
    const venv = emptyVenv()
    expect(await said(source, { env: { ...process.env, VENV: venv } })).toEqual([venv])
    const found = `const guest = await load(${basic}); say(guest.info.prefix); await guest.unload()`
    expect(await said(found, { env: { ...process.env, VIRTUAL_ENV: venv } })).toEqual([venv])
  })
})

describe('a guest that breaks the ABI', () => {
  test('by what it answers is told so call by call, and goes on', async () => {
    await using guest = await load(c('garbage'), { config: 'answers' })
    const ask = (word: string): Promise<unknown> => anyCall(guest, 'answer', word)
    await rejection(ask('invalid-json'), 'protocol', 'is not json')
    await rejection(ask('invalid-error'), 'protocol', 'error that is not a JSON object', 'not JSON')
    const odd = await rejection(ask('odd-error'), 'guest-error', 'the guest gave no message')
    expect(odd).toMatchObject({ rc: 1, guest: { type: 'Error' } })
    await rejection(ask('unknown-status'), 'protocol')
    expect(await ask('unknown-flags')).toBe(1)
    for (const word of ['null-data', 'unknown-task', 'release-unheld', 'double', 'other']) {
      const answer = await guest.send(Buffer.from(word))
      expect(answer.toString()).toBe(word === 'null-data' ? '' : word)
    }
    await until(() => guest.stats().duplicates === 2)
    expect(await ask('fine')).toBe('fine')
    expect(guest.stats()).toMatchObject({ inFlight: 0, late: 0 })
  })

  test('by answering twice, a thousand times over with others between, mixes nothing up', async () => {
    await using guest = await load(c('garbage'), { config: 'doubles', threads: 4 })
    const texts = Array.from({ length: 1000 }, (_, index) => (index % 3 === 0 ? `double ${index}` : `text ${index}`))
    const answers = await Promise.all(texts.map((text) => guest.send(Buffer.from(text))))
    expect(answers.map(String)).toEqual(texts)
  })

  const starts: [config: string, code: PolyloopErrorCode, ...words: string[]][] = [
    ['silent-failure', 'init-failed', 'rc 7 and gave no reason'],
    ['invalid-failure', 'protocol', 'not a JSON object: not JSON'],
    ['invalid-manifest', 'protocol', 'the manifest', 'cannot be read: {nope'],
    ['odd-manifest', 'protocol', 'the manifest', '{"methods":{"name":7}}'],
    ['never-ready', 'protocol', 'without a call of ready()'],
  ]
  for (const [config, code, ...words] of starts) {
    test(`by how it starts (${config}): ${code}`, async () => {
      await rejection(load(c('garbage'), { config }), code, ...words)
    })
  }
})

describe('a function of the caller that throws', () => {
  test('as log: an uncaught exception of its own; no line and no call is lost', async () => {
    const source = `
      const thrown = []
      process.on('uncaughtException', (error) => thrown.push(error.message))
      const lines = []
      const log = (text) => { lines.push(text); throw new Error('log threw') }
      const guest = await load(${JSON.stringify(rust)}, { log })
      for (let round = 0; round < 3; round++) {
        const sums = [guest.add(1, round), guest.log_lines(2), guest.add(2, round)]
        say((await Promise.all(sums)).map((sum) => sum ?? null))
      }
      await guest.unload()
      await turns(2)
      say([lines.join('').split('\\n').length - 1, thrown.length === lines.length, new Set(thrown).size])
    `
    const sums = [0, 1, 2].map((round) => [1 + round, null, 2 + round])
    expect(await said(source)).toEqual([...sums, [12, true, 1]])
  })
})

describe('a runtime that is looked at', () => {
  test('by await, by inspection, by JSON or by a comparison calls nothing', async () => {
    await using guest = await loadRust()
    expect(await guest).toBe(guest)
    expect(inspect(guest)).toContain('add')
    expect(() => JSON.stringify(guest)).not.toThrow()
    expect(guest).toEqual(guest)
    expect(Object.keys(guest)).toContain('add')
    expect('nope' in guest).toBe(false)
    expect(() => Object.assign(guest, { add: 1 })).toThrow(TypeError)
    expect(guest.stats()).toMatchObject({ calls: 0 })
  })
})

test('a process that ends in a guest does not hang the one that started it', async () => {
  const { signal } = await script(`const guest = await load(${JSON.stringify(rust)}); await guest.abort()`)
  expect(signal).toBe('SIGABRT')
})

test('relative locators start at the working directory', async () => {
  const source = `
    process.chdir(${JSON.stringify(root)})
    const guest = await load('python:conformance/fixtures/python/basic.py')
    say(await guest.add(1, 2))
    say((await load(${JSON.stringify(`python:${new URL(`file://${inRoot('conformance/fixtures/python/basic.py')}`).href}`)})).stats().calls)
    await guest.unload()
  `
  expect(await said(source)).toEqual([3, 1])
})
