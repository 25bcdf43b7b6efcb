// SPDX-License-Identifier: Apache-2.0
// What becomes of a guest's process when its host ends, in whatever way.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { inRoot } from '../support/paths.ts'
import { ended, isAlive, parentOf } from '../support/processes.ts'
import { ask } from './child.ts'
import { pythonGuest, rustGuest } from './paths.ts'

const guests = [
  { language: 'Rust', guest: rustGuest },
  { language: 'Python', guest: pythonGuest },
]

/** Starts a host, waits until it tells its guest's process, does something to either, and waits until both are gone. */
async function host(scenario: string, guest: string, then?: (host: number, guest: number) => void): Promise<void> {
  const program = inRoot('hosts/node/test/dist/lifecycle/programs/processes.js')
  const child = spawn(process.execPath, [program, scenario, guest], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const exited = once(child, 'exit')
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const pid = Number(line)
  expect(pid).toBeGreaterThan(1)
  then?.(child.pid as number, pid)
  await exited
  await ended(pid)
}

describe.each(guests)('the process of a $language guest goes with its host', ({ guest }) => {
  test.each(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGSEGV'] as const)('by %s, with calls in flight', async (signal) => {
    await host('lasts', guest, (pid) => process.kill(pid, signal))
  })

  test('by SIGKILL under load', async () => {
    await host('loaded', guest, (pid) => process.kill(pid, 'SIGKILL'))
  })

  test('by SIGKILL, although the guest is stopped', async () => {
    await host('lasts', guest, (pid, child) => {
      process.kill(child, 'SIGSTOP')
      process.kill(pid, 'SIGKILL')
    })
  })

  test('by SIGKILL, although the guard is stopped, which goes too', async () => {
    let guard = 0
    await host('lasts', guest, (pid, child) => {
      guard = parentOf(child) as number
      process.kill(guard, 'SIGSTOP')
      process.kill(pid, 'SIGKILL')
    })
    await ended(guard)
  })

  test('by its natural end', async () => {
    await host('ends', guest)
  })

  test('by process.exit() with a call in flight', async () => {
    await host('exits', guest)
  })

  test('when the worker that loaded it is terminated', async () => {
    await host('worker', guest, (pid, child) => {
      // The worker has ended when its guest is told of.
      void ended(child).then(() => process.kill(pid, 'SIGKILL'))
    })
  })

  test('and costs no processor time while there is nothing to do', async () => {
    const { own, guest: other } = await ask<{ own: number; guest: number }>('processes', ['idle', guest])
    console.log(`in a second: host ${own} ms, guest ${other} ms`)
    // A timer and a garbage collection may come; a poll would cost hundreds.
    expect(own).toBeLessThan(50)
    expect(other).toBeLessThan(50)
  })
})

test('a process that has ended is told from one that lives', () => {
  expect(isAlive(process.pid)).toBe(true)
  expect(isAlive(2 ** 22 + 1)).toBe(false)
})
