// SPDX-License-Identifier: Apache-2.0
// A guest that does what guests of real programs do, for as long as is wanted, wherever it lives.
import { execFileSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LoadOptions, load } from 'polyloop'
import { type Held, settle } from './leaks.ts'
import { Random } from './random.ts'

/** The guest: conformance/fixtures/python/libraries.py. */
interface Libraries {
  multiply(number: number): number
  encrypt(text: string): string
  run_program(text: string): string
  run_shell(status: number): number
  fork(status: number): number
  say(number: number): number
}

/** What has come of it. */
export interface LibrariesReport {
  /** Calls that were answered rightly, by the function. */
  readonly answered: Readonly<Record<string, number>>
  /** Lines that the guest was told to print, and those that came. */
  readonly lines: readonly [told: number, came: number]
  readonly wrong: readonly string[]
  readonly before: Held
  readonly after: Held
}

export const homes: Readonly<Record<string, LoadOptions>> = {
  threads: { placement: 'thread' },
  'own process': { placement: 'process' },
  'shared process': { placement: 'process', shared: true },
}

const repository = fileURLToPath(new URL('../../', import.meta.url))
const numpy = '2.2.6'

/** A virtual environment with numpy, kept between runs. */
function environment(): string {
  const folder = join(repository, `.cache/venvs/numpy-${numpy}`)
  const done = join(folder, 'done')
  if (existsSync(done)) return folder
  rmSync(folder, { recursive: true, force: true })
  execFileSync('python3', ['-m', 'venv', folder])
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', `numpy==${numpy}`]
  execFileSync(join(folder, 'bin', 'python'), pip)
  writeFileSync(done, '')
  return folder
}

/** Calls the guest for so many milliseconds, sixteen calls at a time, and looks at what is left. */
export async function libraries(home: LoadOptions, duration: number, seed: number): Promise<LibrariesReport> {
  // What is made once and stays: an interpreter on threads, the loop's doorbell.
  await play(home, 0, seed)
  const before = await settle()
  const played = await play(home, duration, seed)
  return { ...played, before, after: await settle(before) }
}

type Played = Omit<LibrariesReport, 'before' | 'after'>

/** Nothing of the guest is referred to once this is over. */
async function play(home: LoadOptions, duration: number, seed: number): Promise<Played> {
  const lines = { told: 0, came: 0 }
  const log = (text: string): void => {
    lines.came += text.split('\n').filter((line) => /^(line|warning) \d+$/.test(line)).length
  }
  const locator = `python:${join(repository, 'conformance/fixtures/python/libraries.py')}`
  const guest = await load<Libraries>(locator, { ...home, venv: environment(), log })
  const random = new Random(seed)
  const answered: Record<string, number> = {}
  const wrong: string[] = []
  const below = (most: number): number => random.below(most)
  const calls: readonly (() => Promise<[name: string, answer: unknown, wanted: unknown]>)[] = [
    async (number = below(1000)) => ['multiply', await guest.multiply(number), number * 64 ** 3],
    async (text = `text ${below(1e9)}`) => ['encrypt', await guest.encrypt(text), text],
    async (text = `text ${below(1e9)}`) => ['run_program', await guest.run_program(text), text],
    async (status = below(100)) => ['run_shell', await guest.run_shell(status), status],
    async (status = below(100)) => ['fork', await guest.fork(status), status],
    async (number = below(1e9)) => {
      lines.told += 2
      return ['say', await guest.say(number), number]
    },
  ]
  const end = performance.now() + duration
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      try {
        const [name, answer, wanted] = await (calls[below(calls.length)] as (typeof calls)[number])()
        if (answer === wanted) answered[name] = (answered[name] ?? 0) + 1
        else wrong.push(`${name} answered ${String(answer)}, not ${String(wanted)}`)
      } catch (error) {
        wrong.push(String((error as Error).stack))
      }
    }
  }
  await Promise.all(Array.from({ length: 16 }, lane))
  await guest.unload()
  return { answered, lines: [lines.told, lines.came], wrong }
}
