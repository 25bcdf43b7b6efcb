// SPDX-License-Identifier: Apache-2.0
// Nothing is left behind: of what guests have started, of their processes, and of what their hosts made for them.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, rmSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, expect, test } from 'vitest'
import { until } from '../support/calls.ts'
import { inRoot } from '../support/paths.ts'
import { ended, isAlive, parentOf } from '../support/processes.ts'
import { ask } from './child.ts'

/** Starts a host whose guest starts programs, does something to it, and waits until all of them are gone. */
async function host(scenario: string, kind: string, then: (host: number, pids: number[]) => void): Promise<void> {
  const program = inRoot('hosts/node/test/dist/lifecycle/programs/remains.js')
  const child = spawn(process.execPath, [program, scenario, kind], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const exited = once(child, 'exit')
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  const pids = JSON.parse(line) as number[]
  expect(pids.length).toBeGreaterThanOrEqual(5)
  const began = performance.now()
  try {
    then(child.pid as number, pids)
    await Promise.all(pids.map(ended))
    // Who takes that away has ended after those who used it.
    await until(() => !existsSync(`/dev/shm/polyloop-test-${pids[0]}`))
    console.log(`${scenario} ${kind}: gone after ${Math.round(performance.now() - began)} ms`)
  } finally {
    child.kill('SIGKILL')
    await exited
  }
}

const nothing = (): void => {}

describe.each(['own', 'shared'])('what the guest of a process has started (%s) goes', (kind) => {
  test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('with its host, by %s', async (signal) => {
    await host('lasts', kind, (pid) => process.kill(pid, signal))
  })

  test.each([
    ['with its host, by process.exit()', 'exits'],
    ['with its host, by a crash', 'crashes'],
    ['with the worker that is terminated', 'worker'],
    ['with the unload', 'unloads'],
  ])('%s', async (_, scenario) => {
    await host(scenario, kind, nothing)
  })

  test.each(['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const)('with the guest, by %s', async (signal) => {
    await host('lasts', kind, (_, [guest]) => process.kill(guest as number, signal))
  })
})

test('the guest goes with its guard, and so does what it has started in its session', async () => {
  await host('lasts', 'own', (_, pids) => {
    const [guest, plain, apart, orphan] = pids as [number, number, number, number]
    expect(isAlive(plain)).toBe(true)
    process.kill(parentOf(guest) as number, 'SIGKILL')
    // Nobody knows of these once the guard is gone.
    for (const pid of [apart, orphan]) process.kill(pid, 'SIGKILL')
    rmSync(`/dev/shm/polyloop-test-${guest}`)
  })
})

describe.each(['own', 'shared'])('workers with a guest in a process (%s)', (kind) => {
  test('that are terminated leave no process, and none to be reaped', async () => {
    expect(await ask('remains', ['terminated', kind])).toBe('none')
  })

  test('that are terminated while they load leave no process, no file and no address space', async () => {
    const left = await ask<{ space: number }>('remains', ['terminated-in-load', kind], { node: ['--expose-gc'] })
    console.log(JSON.stringify(left))
    // Each guest has 64 GiB and more.
    expect(left.space).toBeLessThan(2 ** 35)
  })
})

describe('a host with few descriptors', () => {
  const under = ['sh', '-c', 'ulimit -n 150; exec "$0" "$@"']

  test('is told so by a load, and what to raise', async () => {
    const outcomes = await ask<string[]>('remains', ['few-descriptors', 'own'], { under })
    const refusals = outcomes.filter((outcome) => outcome !== 'loaded')
    expect(refusals.length).toBeGreaterThan(0)
    expect(outcomes.at(-1)).toBe('loaded')
    for (const refusal of refusals) expect(refusal).toMatch(/^PolyloopError overloaded .*ulimit -n/)
  })

  test('has its guest started again once it has more', async () => {
    expect(await ask('remains', ['few-at-restart', 'own'], { under })).toEqual({ answer: 3, told: true })
  })
})
