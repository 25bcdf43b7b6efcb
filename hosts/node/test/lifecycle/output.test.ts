// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../support/folders.ts'
import { type Ended, run } from './child.ts'

async function play(...args: string[]): Promise<Ended> {
  return ended(await run('output', args))
}

/** Sends a signal once the program prints something. */
async function playAndTell(...args: string[]): Promise<Ended> {
  return ended(await run('output', args, { kill: 'SIGUSR2' }))
}

function ended(ended: Ended): Ended {
  expect({ code: ended.code, signal: ended.signal }, ended.stderr).toEqual({ code: 0, signal: null })
  return ended
}

const lines = (text: string): string[] => text.split('\n').slice(0, -1)
const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, number) => `${prefix} ${number}`)

describe('what guests print reaches the streams of the program whole, line by line', () => {
  test('from several threads of Python, each in order', async () => {
    const { stdout, stderr } = await play('threads')
    const printed = lines(stdout)
    expect(printed).toHaveLength(8 * 500)
    for (let thread = 0; thread < 8; thread++) {
      const own = printed.filter((line) => line.startsWith(`thread ${thread} `))
      expect(own).toEqual(numbered(`thread ${thread} line`, 500))
    }
    expect(stderr).toBe('')
  })

  test('lines of 100 KB from calls side by side', async () => {
    const printed = lines((await play('long-lines')).stdout)
    expect(printed.sort()).toEqual([...'abcdefgh'].map((letter) => letter.repeat(100_000)))
  })

  test('lines that are printed piece by piece by calls side by side', async () => {
    const printed = lines((await play('pieces')).stdout)
    expect(printed.sort()).toEqual([...'abcdefgh'].map((letter) => letter.repeat(30)))
  })

  test('lines whose pieces are shown by calls side by side: each at last, and parts of it before', async () => {
    const printed = lines((await play('pieces', 'flushed')).stdout)
    expect(printed.filter((line) => line.length === 30).sort()).toEqual(
      [...'abcdefgh'].map((letter) => letter.repeat(30)),
    )
    expect(printed.filter((line) => !/^(.)\1*$/.test(line))).toEqual([])
  })

  test('10,000 lines of Python, before the call settles', async () => {
    expect(lines((await play('python-lines')).stdout)).toEqual([...numbered('line', 10_000), 'settled'])
  })

  test('10,000 lines of Rust, before the call settles', async () => {
    const { stdout, stderr } = await play('rust-lines')
    expect(lines(stdout)).toEqual([...numbered('line', 10_000), 'settled'])
    expect(lines(stderr)).toEqual(numbered('warning', 10_000))
  })

  test('records of Python logging', async () => {
    expect(lines((await play('logging')).stderr)).toEqual(numbered('ERROR record', 1000))
  })

  test("records of Rust's crate log", async () => {
    const printed = lines((await play('rust-logging')).stderr).filter((line) => line.includes('record'))
    expect(printed.map((line) => line.replace(/^INFO \S+: /, ''))).toEqual(numbered('record', 100))
  })
})

describe('a part of a line that is flushed is to be seen before the call ends', () => {
  test.each(['thread', 'process', 'shared'])('%s', async (place) => {
    const { stdout, stderr } = await playAndTell('prompt', place, 'name? ')
    const unlabelled = (text: string): string[] => lines(text.replaceAll(/\[guest.py \d+\] /g, ''))
    // Another call prints meanwhile.
    expect(unlabelled(stdout)).toEqual(['name? ', 'out 1', 'name? Ada'])
    expect(unlabelled(stderr)).toEqual(['err 1'])
  })
})

test('the option log gets whole lines, and the stream that they are for', async () => {
  const { stdout, stderr } = await play('log-option')
  expect(lines(stdout).filter((line) => /^thread \d line \d+$/.test(line))).toHaveLength(800)
  expect(lines(stdout).slice(800)).toEqual(numbered('out', 20))
  expect(lines(stderr)).toEqual(numbered('err', 20))
})

test("a call's lines come before its promise settles", async () => {
  expect((await play('order')).stdout).toBe('in order\n')
})

describe('what was printed last is not lost', () => {
  test('by process.exit()', async () => {
    const { stdout, stderr } = await play('exit-at-once', temporaryFolder())
    expect(lines(stdout).sort()).toEqual(['line 0', 'line 1', 'line 2', 'out 1'])
    expect(lines(stderr).sort()).toEqual(['err 1', 'warning 0', 'warning 1', 'warning 2'])
  })

  test('at the natural end, a line without its end as well', async () => {
    const { stdout, stderr } = await play('natural-end')
    expect(lines(stdout).filter((line) => line.startsWith('line'))).toEqual(numbered('line', 2000))
    expect(lines(stdout)).toContain('the last words')
    expect(lines(stderr)).toEqual(numbered('warning', 2000))
  })

  test.each(['natural', 'exit'])('at the %s end of a worker', async (end) => {
    const { stdout, stderr } = await play('worker', end)
    expect(lines(stdout).sort()).toEqual(['line 0', 'line 1', 'out 7'])
    expect(lines(stderr).sort()).toEqual(['err 7', 'warning 0', 'warning 1'])
  })
})
