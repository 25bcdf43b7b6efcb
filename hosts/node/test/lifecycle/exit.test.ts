// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folders.ts'
import { rustLibrary } from '../support/paths.ts'
import { type Ended, type RunOptions, run as runProgram, toExit } from './child.ts'
import { ownGuest, pythonGuest, rustGuest, streamsGuest } from './paths.ts'

const run = (name: string, args: readonly string[], options?: RunOptions): Promise<Ended> =>
  runProgram(name, args, { ...options, node: toExit })

const languages = [
  { language: 'Rust', guest: rustGuest },
  { language: 'Python', guest: pythonGuest },
]
const guests = ['thread', 'process'].flatMap((placement) => languages.map((one) => ({ ...one, placement })))

const well = (stdout: string): Ended => ({ code: 0, signal: null, stdout, stderr: '' })

/** Ended by an error of its own: nothing aborted, and nothing else was said. */
function expectError({ code, signal, stderr }: Ended): void {
  expect({ code, signal }).toEqual({ code: 1, signal: null })
  expect(stderr).toContain('Error: on purpose')
  expect(stderr).not.toMatch(/Assertion|FATAL|panicked|Fatal Python|Segmentation|unsettled/)
}

// Side by side: most of them wait most of the time.
describe.concurrent.each(guests)('a program with a $language guest ($placement)', ({ guest, placement }) => {
  const play = (scenario: string, options?: RunOptions, ...rest: string[]): Promise<Ended> =>
    run('exit', [scenario, guest, ...rest], { ...options, env: { POLYLOOP_TEST_PLACEMENT: placement } })

  test.each([
    ['exits by itself when its last call has settled', 'settled', 'answered\n'],
    ['exits by itself after many large calls', 'many', 'answered\n'],
    ['does not exit while it awaits a slow call', 'slow', 'answered\n'],
    ['does not exit while it awaits a slow async function', 'asynchronous', 'answered\n'],
    ['does not exit while calls wait for admission', 'waiting', 'answered 0\nanswered 1\nanswered 2\nanswered 3\n'],
    ['exits when all it does is load', 'loaded', ''],
    ['does not exit in the middle of a load, and does after it', 'loading', ''],
    ['exits after a load that fails', 'failing', ''],
    ['does not exit before a call settles that nobody awaits', 'never-awaits', 'answered\n'],
    ['goes on for calls made in beforeExit', 'before-exit', 'answered before the exit\n'.repeat(2)],
    ['goes on for an unload in beforeExit', 'unloads-before-exit', 'unloaded\n'],
    ['exits although calls that it gave up never end', 'cancelled', 'cancelled cancelled deadline\n'],
    ['does not exit while calls wait behind one that it gave up', 'cancelled-with-others', 'cancelled\nanswered\n'],
    [
      'does not exit while an unload waits for a call that it gave up',
      'cancelled-then-unloaded',
      'cancelled\nunloaded\n',
    ],
  ])('%s', async (_, scenario, stdout) => {
    expect(await play(scenario)).toEqual(well(stdout))
  })

  test.each([
    ['with calls in flight that never end', 'exit'],
    ['under load', 'exit-under-load'],
  ])('ends by process.exit() %s', async (_, scenario) => {
    expect(await play(scenario)).toEqual({ ...well(''), code: 3 })
  })

  test.each(['0', '2', '10', '40', '80'])('ends by process.exit() %s ms after the begin of a load', async (delay) => {
    expect(await play('exit-in-load', {}, delay)).toEqual({ ...well(''), code: 3 })
  })

  test('ends by an uncaught exception with calls in flight', async () => {
    expectError(await play('throws'))
  })

  test('ends by an unhandled rejection with calls in flight', async () => {
    expectError(await play('rejects'))
  })

  test.each(['SIGTERM', 'SIGINT'] as const)('ends by %s with calls in flight', async (kill) => {
    expect(await play('signal', { kill })).toEqual({ ...well('ready\n'), code: null, signal: kill })
  })
})

const streaming = guests.map((one) => ({ ...one, guest: one.language === 'Python' ? streamsGuest : one.guest }))

describe.concurrent.each(streaming)(
  'a program with streams of a $language guest ($placement)',
  ({ guest, placement }) => {
    const play = (scenario: string): Promise<Ended> =>
      run('exit', [scenario, guest], { env: { POLYLOOP_TEST_PLACEMENT: placement } })

    test('exits by itself after them, one left in the middle', async () => {
      expect(await play('streamed')).toEqual(well('answered 999\n'))
    })

    test('ends by process.exit() with streams open', async () => {
      expect(await play('exit-in-streams')).toEqual({ ...well(''), code: 3 })
    })
  },
)

const computing = [
  { language: 'Rust', guest: rustGuest },
  { language: 'Python', guest: ownGuest },
]

// Destructors of libraries would wait for what computes, for ever.
describe.concurrent.each(computing)('a program whose $language guest computes on a thread', ({ guest }) => {
  const play = (scenario: string, options?: RunOptions): Promise<Ended> =>
    run('exit', [scenario, guest, rustLibrary], options)
  const lines = (stdout: string): string[] =>
    stdout
      // No pattern: that would try every part of a line of which some is missing.
      .replaceAll('-'.repeat(100_000), 'listener')
      .trimEnd()
      .split('\n')
  // What C buffers comes last.
  const last = (code: number): string[] => ['listener', `exit ${code}`, 'computes']

  test('ends by process.exit()', async () => {
    const { stdout, ...how } = await play('computing-exit')
    expect({ ...how, lines: lines(stdout) }).toEqual({ code: 3, signal: null, stderr: '', lines: last(3) })
  })

  test('ends by an uncaught exception', async () => {
    const how = await play('computing-throws')
    expectError(how)
    expect(lines(how.stdout)).toEqual(last(1))
  })

  test('ends by itself once it has given up the call', async () => {
    const { stdout, ...how } = await play('computing-given-up')
    expect({ ...how, lines: lines(stdout) }).toEqual({
      code: 0,
      signal: null,
      stderr: '',
      lines: ['cancelled', ...last(0)],
    })
  })

  test.each([
    ['while it is loaded', 'computing-loading', ['exit 3', 'computes']],
    ['while it is unloaded', 'computing-unloading', last(3)],
    ['of a worker', 'computing-worker', ['exit 3', 'computes']],
  ])('ends by process.exit() %s', async (_, scenario, wanted) => {
    const { stdout, ...how } = await play(scenario)
    expect({ ...how, lines: lines(stdout) }).toEqual({ code: 3, signal: null, stderr: '', lines: wanted })
  })

  test('ends with all that it printed in a file', async () => {
    const file = join(temporaryFolder(), 'stdout')
    const how = await play('computing-exit', { under: ['sh', '-c', `exec "$0" "$@" > ${file}`] })
    expect(how).toEqual({ ...well(''), code: 3 })
    expect(lines(readFileSync(file, 'latin1'))).toEqual(last(3))
  })

  test('leaves a pipe that it has read as it was', async () => {
    const pipe = join(temporaryFolder(), 'pipe')
    execFileSync('mkfifo', [pipe])
    const stdin = openSync(pipe, constants.O_RDWR)
    try {
      expect(await play('computing-and-reading', { stdin })).toMatchObject({ code: 3, stderr: '' })
      const [, flags = ''] = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${stdin}`, 'latin1')) ?? []
      expect(Number.parseInt(flags, 8) & (constants.O_RDWR | constants.O_NONBLOCK)).toBe(constants.O_RDWR)
    } finally {
      closeSync(stdin)
    }
  })
})

test('a program whose guests are idle runs the destructors of libraries when it ends', async () => {
  expect(await run('exit', ['idle-exit', rustGuest])).toEqual({ ...well(''), code: 3, stderr: 'closed\n' })
})

test('a log function that throws is an uncaught exception, and no answer is lost or given twice', async () => {
  const wanted = { caught: true, right: 1000, late: 0 }
  expect(await run('exit', ['log-throws', rustGuest])).toEqual(well(`${JSON.stringify(wanted)}\n`))
})

test('a call that was refused is not rejected again when its deadline passes', async () => {
  expect(await run('exit', ['refused', rustGuest])).toEqual(well('overloaded\nanswered\n'))
})

test('process.exit() does not wait for the GIL', async () => {
  const { code, stderr } = await run('exit', ['exit-holding-gil', pythonGuest])
  expect({ code, stderr }).toEqual({ code: 3, stderr: '' })
})
