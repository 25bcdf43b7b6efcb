// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { exec } from './exec.ts'
import { type Result, runSuites, type Suite } from './report.ts'

const suite = (name: string, passed: number, failed: number, ended?: string): Suite => ({
  name,
  run: async (): Promise<Result> => ({ counts: { passed, failed, skipped: 0 }, output: `output of ${name}`, ended }),
})

async function report(suites: Suite[], names: string[] = []): Promise<{ good: boolean; lines: string[] }> {
  const lines: string[] = []
  const good = await runSuites(suites, names, (line) => lines.push(line))
  return { good, lines }
}

test('what passes takes a line, and the last line is the count', async () => {
  const { good, lines } = await report([suite('a', 2, 0), suite('b', 3, 0)])
  expect(good).toBe(true)
  expect(lines).toHaveLength(3)
  expect(lines[0]).toMatch(/^ok +a +2 passed, 0 failed +\d+\.\d s$/)
  expect(lines.at(-1)).toBe('5 passed, 0 failed')
})

test('what fails shows all that it printed', async () => {
  const { good, lines } = await report([suite('a', 2, 1, 'exit code 1'), suite('b', 3, 0)])
  expect(good).toBe(false)
  expect(lines.join('\n')).toContain('output of a')
  expect(lines.join('\n')).not.toContain('output of b')
  expect(lines.at(-1)).toBe('5 passed, 1 failed')
})

test('what could not be tested is said below the line of a suite that passes', async () => {
  const run = async (): Promise<Result> => ({ ...(await suite('a', 2, 0).run()), note: 'not tested: b' })
  const { good, lines } = await report([{ name: 'a', run }])
  expect(good).toBe(true)
  expect(lines.slice(1)).toEqual(['     not tested: b', '2 passed, 0 failed'])
})

test('a table below a line keeps its form', async () => {
  const run = async (): Promise<Result> => ({ ...(await suite('a', 2, 0).run()), note: 'matrix\n  a  b\n\nend' })
  const { lines } = await report([{ name: 'a', run }])
  expect(lines[1]).toBe('     matrix\n       a  b\n\n     end')
})

test('neighbours that may run aside run two at a time, and their lines come in order', async () => {
  const events: string[] = []
  const ends = new Map<string, () => void>()
  const slow = (name: string, aside: boolean): Suite => ({
    name,
    aside,
    run: async (): Promise<Result> => {
      events.push(`${name} begins`)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      events.push(`${name} ends`)
      return suite(name, 1, 0).run()
    },
  })
  const end = async (name: string): Promise<void> => {
    while (!ends.has(name)) await new Promise(setImmediate)
    ends.get(name)?.()
    while (!events.includes(`${name} ends`)) await new Promise(setImmediate)
    await new Promise(setImmediate)
  }
  const running = report([slow('a', true), slow('b', true), slow('c', true), slow('d', false), slow('e', true)])
  for (const name of ['b', 'a', 'c', 'd', 'e']) await end(name)
  expect(events.join(', ')).toBe(
    [
      'a begins, b begins, b ends, c begins, a ends, c ends',
      // One that may not run aside runs alone.
      'd begins, d ends',
      'e begins, e ends',
    ].join(', '),
  )
  const { lines } = await running
  expect(lines.map((line) => line.split(/ +/)[1])).toEqual(['a', 'b', 'c', 'd', 'e', 'passed,'])
})

test('a suite without tests fails the run', async () => {
  const { good, lines } = await report([suite('a', 2, 0), suite('b', 0, 0)])
  expect(good).toBe(false)
  expect(lines.at(-1)).toBe('2 passed, 1 failed')
})

test('a suite that throws is a failure and does not stop the others', async () => {
  const broken: Suite = { name: 'broken', run: () => Promise.reject(new Error('no such runner')) }
  const { good, lines } = await report([broken, suite('b', 3, 0)])
  expect(good).toBe(false)
  expect(lines.join('\n')).toContain('no such runner')
  expect(lines.at(-1)).toBe('3 passed, 1 failed')
})

test('no suites at all is a failure', async () => {
  expect(await report([])).toEqual({ good: false, lines: ['0 passed, 0 failed'] })
})

test('a name picks a suite, and an unknown one is a failure', async () => {
  expect((await report([suite('a', 2, 0), suite('b', 3, 0)], ['b'])).lines.at(-1)).toBe('3 passed, 0 failed')
  expect((await report([suite('a', 2, 0)], ['c'])).lines.at(-1)).toBe('0 passed, 1 failed')
})

test('the watchdog kills a command and what it started', async () => {
  let [watchdog, stdout] = [100, '']
  // It may not have begun before it is killed.
  while (stdout === '') {
    watchdog *= 2
    const killed = await exec('sh', ['-c', 'sleep 600 & echo $!; wait'], { watchdog })
    expect(killed.ended).toBe(`killed after ${watchdog / 1000} s`)
    stdout = killed.stdout
  }
  const state = await exec('sh', ['-c', `ps -o stat= -p ${stdout.trim()} || true`])
  expect(state.stdout.trim()).toMatch(/^(Z.*)?$/)
})

test('a command that does not exist, fails or crashes says so', async () => {
  expect((await exec('no-such-command', [])).ended).toContain('ENOENT')
  expect((await exec('sh', ['-c', 'exit 3'])).ended).toBe('exit code 3')
  expect((await exec('sh', ['-c', 'kill -SEGV $$'])).ended).toBe('SIGSEGV')
  expect((await exec('sh', ['-c', 'echo out; echo err >&2'])).output.trim().split('\n').sort()).toEqual(['err', 'out'])
})
