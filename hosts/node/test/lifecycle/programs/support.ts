// SPDX-License-Identifier: Apache-2.0
// What the programs of these tests share.
import { readdirSync, readFileSync } from 'node:fs'
import { type LoadOptions, load as loadAnywhere, type Runtime, type Untyped } from 'polyloop'

/** Runs the scenario that the first argument names, as the top level of the program does it. */
export async function play(scenarios: Readonly<Record<string, () => unknown>>): Promise<void> {
  const name = process.argv[2] ?? ''
  const scenario = scenarios[name]
  if (scenario === undefined) throw new Error(`there is no scenario '${name}'`)
  await scenario()
}

/** Where the guests of this program live, as its test has it. */
export const placement: 'thread' | 'process' = process.env.POLYLOOP_TEST_PLACEMENT === 'process' ? 'process' : 'thread'

/** Loads a guest where the test wants it: on threads, whatever its language has by default. */
export function load<T = Untyped>(locator: string, options: LoadOptions = {}): Promise<Runtime<T>> {
  return loadAnywhere<T>(locator, { placement, ...options })
}

/** Prints what the test wants to know: the program's last line. */
export function tell(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Lets go of what is garbage, and runs the finalizers. Needs --expose-gc. */
export async function collect(): Promise<void> {
  for (let round = 0; round < 4; round++) {
    globalThis.gc?.()
    await sleep(5)
  }
}

/** Makes `count` calls with `outstanding` of them in flight at a time. */
export async function flood(
  count: number,
  outstanding: number,
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) await call(next++)
  }
  await Promise.all(Array.from({ length: outstanding }, lane))
}

/** Threads of this process. */
export const threads = (): number => readdirSync('/proc/self/task').length

/** Open files of this process. */
export const files = (): number => readdirSync('/proc/self/fd').length

/** Bytes of this process in memory. */
export const rss = (): number => process.memoryUsage.rss()

/** Bytes of anonymous memory that can be read and written: blocks and slabs are mapped so. */
export function mapped(): number {
  let bytes = 0
  for (const line of readFileSync('/proc/self/maps', 'utf8').split('\n')) {
    const [, from = '0', to = '0'] = /^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ 00:00 0\s*$/.exec(line) ?? []
    bytes += Number.parseInt(to, 16) - Number.parseInt(from, 16)
  }
  return bytes
}

/** Waits until `done`; the test's watchdog ends what never comes. */
export async function until(done: () => boolean): Promise<void> {
  while (!done()) await sleep(5)
}
