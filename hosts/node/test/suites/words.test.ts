// SPDX-License-Identifier: Apache-2.0
// What a guest declares, or why it does not start, comes through alike wherever it lives: also if it is long.
import { describe, expect, test } from 'vitest'
import type { PolyloopError } from '../../src/common/errors.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection } from '../support/calls.ts'
import { cGuests, temporaryFolder, write } from '../support/folders.ts'
import { rust } from '../support/paths.ts'

const c = cGuests()
const folder = temporaryFolder()

const placements: readonly (readonly [where: string, options: LoadOptions])[] = [
  ['on threads', { placement: 'thread' }],
  ['in a process', { placement: 'process', log: () => {} }],
  ['in a process that is shared', { placement: 'process', shared: true, log: () => {} }],
]

const many = 12_001
const functions = Array.from(
  { length: many },
  (_, index) => `def function_number_${index}(argument): return ${index}\n`,
)
const manyFunctions = `python:${write(folder, 'many_functions.py', functions.join(''))}`
const longCauses = `python:${write(
  folder,
  'long_causes.py',
  `
def init(config):
    error = None
    for number in range(8):
        link = OSError('the database is not there' + ' \\u00fc' * 100_000)
        link.__cause__ = error
        error = link
    raise error

def f(): pass
`,
)}`

/** A chain that is longer than an error may be, with the stacks of all causes. */
const longestCauses = `python:${write(
  folder,
  'longest_causes.py',
  `
def init(config):
    error = None
    for number in range(16):
        link = OSError('the disk is full' + chr(0x1f600) * 100_000)
        link.__cause__ = error
        error = link
    raise error

def f(): pass
`,
)}`

describe.each(placements)('%s', (_, options) => {
  test('a guest may have many functions', async () => {
    const guest = await load(manyFunctions, options)
    expect(guest.methods).toHaveLength(many)
    expect(await guest.call(`function_number_${many - 1}`, [1])).toBe(many - 1)
    const error = await rejection(guest.call('nope'), 'not-found', `and ${many - 100} more`)
    expect(error.message.length).toBeLessThan(10_000)
    await guest.unload()
  })

  test('the manifest may have 16 MiB', async () => {
    const guest = await load(c('garbage'), { ...options, config: 'longest-manifest' })
    expect((guest.info.text as string).length).toBeGreaterThan(2 ** 23 - 100)
    expect(await guest.send(Buffer.from('x'))).toEqual(Buffer.from('x'))
    await guest.unload()
  })

  test('of a longer one the load says so', async () => {
    const start = load(c('garbage'), { ...options, config: 'too-long-manifest' })
    await rejection(start, 'too-large', 'the manifest has 16777217 bytes', 'declare fewer functions')
  })

  test('a Python guest may fail with a long chain of causes', async () => {
    const error = await rejection(load(longCauses, options), 'init-failed', 'OSError: the database is not there')
    let [causes, length] = [0, 0]
    for (let one = error; one !== undefined; one = one.cause as PolyloopError) {
      causes++
      length += one.message.length + (one.guest?.stack?.length ?? 0)
    }
    expect([causes, length > 2 ** 20]).toEqual([8, true])
  })

  test('of a longer one the causes are told without their stacks, which the first stack tells', async () => {
    const error = await rejection(load(longestCauses, options), 'init-failed', 'OSError: the disk is full')
    const cause = error.cause as PolyloopError
    expect([typeof error.guest?.stack, cause.guest?.stack]).toEqual(['string', undefined])
    expect(cause.message).toContain('OSError: the disk is full')
  })

  test('a Rust guest may fail with a long message, and of one that is too long the beginning is told', async () => {
    const fail = 'the disk is full. '.repeat(200_000)
    const error = await rejection(load(rust, { ...options, config: { fail } }), 'init-failed', fail)
    expect(error).toMatchObject({ rc: 42, guest: { code: 'fixture-init' } })
    const longer = load(rust, { ...options, config: { fail: fail.repeat(5) } })
    await rejection(longer, 'init-failed', 'bytes of JSON and may have 16777216; it begins', 'the disk is full')
  })
})
