// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Finished, run, start } from './testing/run.ts'

const scratch = mkdtempSync(join(tmpdir(), 'polyloop-test-'))
afterAll(() => rmSync(scratch, { recursive: true }))

describe('the tour', () => {
  let tour: Finished
  beforeAll(async () => {
    tour = await run('tour.js', ['--brief'], { TMPDIR: scratch })
  })

  it('ends well, and says nothing on stderr', () => {
    expect(tour).toMatchObject({ ended: 0, stderr: '' })
  })

  it('shows each example at work', () => {
    expect(tour.stdout).toContain('from Python 3.')
    expect(tour.stdout).toContain('Hello, Ada, from Rust!')
    expect(tour.stdout).toMatch(/POST \/predictions +answers 4\n/)
    expect(tour.stdout).toMatch(/trains 3 models: 9\d % are right/)
    expect(tour.stdout).toMatch(/measure\(''\) +guest-crashed: SIGSEGV\n.*8, by a new process/)
    expect(tour.stdout).toMatch(/perf_hooks\.d\.ts:\d+: function monitorEventLoopDelay/)
  })

  it('counts an interval that fires while the guests work', () => {
    const counts = [...tour.stdout.matchAll(/interval fired (\d+) times/g)].map(([, times]) => Number(times))
    expect(counts).toHaveLength(3)
    // A loop that is held up fires it once. The machine may be busy.
    expect(counts.at(-1)).toBeGreaterThan(3)
    const [, calls = ''] = /answered ([\d,]+) calls/.exec(tour.stdout) ?? []
    expect(Number(calls.replaceAll(',', ''))).toBeGreaterThan(3)
  })

  it('measures three ways to call, each four times', () => {
    for (const name of ['C server, unix socket', 'Rust guest', 'Python guest']) {
      const [row = ''] = tour.stdout.match(new RegExp(`^ {3}${name} .*µs.*$`, 'm')) ?? []
      expect(row.match(/[\d.]+ µs/g)).toHaveLength(4)
    }
  })

  it('leaves no file behind', () => expect(readdirSync(scratch)).toEqual([]))
})

it('an interrupted tour fails and leaves no file behind', async () => {
  const tour = start('tour.js', [], { TMPDIR: scratch })
  await tour.said('6  ')
  tour.interrupt()
  expect(await tour.finished).toMatchObject({ ended: 1 })
  expect(readdirSync(scratch)).toEqual([])
})

it('a tour that lacks something says what', async () => {
  const { ended, stderr } = await run('tour.js', ['--brief'], { CARGO_TARGET_DIR: join(scratch, 'nothing') })
  expect(ended).toBe(1)
  expect(stderr).toMatch(/^the tour ended early: .*libhello\.so/)
  expect(stderr.trim().split('\n')).toHaveLength(1)
})
