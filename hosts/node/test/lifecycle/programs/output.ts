// SPDX-License-Identifier: Apache-2.0
// What guests print, on the program's own streams or in the option `log`.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { load, play, sleep } from './support.ts'

interface Own {
  print_from_threads(threads: number, lines: number): void
  print_long(letter: string, length: number): void
  print_pieces(pieces: string[]): void
  print_unflushed(pieces: string[]): void
  ask(prompt: string, answer: string): void
  open_up(): void
  print_both(number: number): void
  touch(path: string): void
  log_records(count: number): void
}

interface Fixture {
  print_lines(count: number): void
  print_partial(text: string): void
  log_lines(count: number): void
  log_record(message: string): void
  append(path: string, line: string): void
  sleep_ms(ms: number): number
}

/** Keeps the loop from its turn. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

await play({
  threads: async () => {
    const guest = await load<Own>(ownGuest)
    await guest.print_from_threads(8, 500)
  },
  'long-lines': async () => {
    const guest = await load<Own>(ownGuest, { threads: 8 })
    await Promise.all([...'abcdefgh'].map((letter) => guest.print_long(letter, 100_000)))
  },
  pieces: async () => {
    const guest = await load<Own>(ownGuest, { threads: 8 })
    const letters = [...'abcdefgh']
    const name = process.argv[3] === 'flushed' ? 'print_pieces' : 'print_unflushed'
    await Promise.all(letters.map((letter) => guest[name](Array.from({ length: 30 }, () => letter))))
  },
  /** What is asked for is answered once this process is told that the prompt is to be seen. */
  prompt: async () => {
    const places = {
      thread: { placement: 'thread' },
      process: { placement: 'process' },
      shared: { placement: 'process', shared: `prompt ${process.pid}` },
    } as const
    const guest = await load<Own>(ownGuest, places[process.argv[3] as keyof typeof places])
    const told = new Promise((resolve) => process.once('SIGUSR2', resolve))
    const asked = guest.ask(process.argv[4] ?? '', 'Ada')
    await told
    await guest.print_both(1)
    await guest.open_up()
    await asked
    await sleep(0)
    await guest.unload()
  },
  'python-lines': async () => {
    const guest = await load<Fixture>(pythonGuest)
    await guest.print_lines(10_000)
    console.log('settled')
  },
  'rust-lines': async () => {
    const guest = await load<Fixture>(rustGuest)
    await guest.log_lines(10_000)
    console.log('settled')
  },
  'log-option': async () => {
    const texts: [string, string][] = []
    const log = (text: string, stream: 'stdout' | 'stderr'): void => void texts.push([stream, text])
    const guest = await load<Own>(ownGuest, { log })
    await guest.print_from_threads(4, 200)
    for (let number = 0; number < 20; number++) await guest.print_both(number)
    for (const [stream, text] of texts) {
      if (!text.endsWith('\n')) throw new Error(`not whole lines: ${text.slice(-100)}`)
      process[stream as 'stdout' | 'stderr'].write(text)
    }
  },
  /** Each call's lines are here before its promise settles. */
  order: async () => {
    const seen: string[] = []
    const log = (text: string): void => void seen.push(...text.trimEnd().split('\n'))
    const own = await load<Own>(ownGuest, { log })
    for (let number = 0; number < 300; number++) {
      await own.print_both(number)
      if (seen.at(-1) !== `err ${number}` || seen.at(-2) !== `out ${number}`) throw new Error(`after ${seen.at(-1)}`)
    }
    const rust = await load<Fixture>(rustGuest, { log })
    for (let number = 1; number < 300; number++) {
      await rust.log_lines(number)
      if (seen.at(-1) !== `warning ${number - 1}`) throw new Error(`after ${seen.at(-1)}`)
    }
    console.log('in order')
  },
  logging: async () => {
    const guest = await load<Own>(ownGuest)
    await guest.log_records(1000)
  },
  'rust-logging': async () => {
    const guest = await load<Fixture>(rustGuest, { config: { log: true } })
    for (let number = 0; number < 100; number++) await guest.log_record(`record ${number}`)
  },
  /** Printed while the loop is away, and then the program exits at once. */
  'exit-at-once': async () => {
    const [own, rust] = [await load<Own>(ownGuest, { threads: 1 }), await load<Fixture>(rustGuest, { threads: 1 })]
    const printed = ['own', 'rust'].map((name) => join(process.argv[3] ?? '', name)) as [string, string]
    void own.print_both(1)
    void rust.log_lines(3)
    // By the same thread, after that.
    void own.touch(printed[0])
    void rust.append(printed[1], '')
    while (!printed.every((path) => existsSync(path))) block(5)
    process.exit(0)
  },
  'natural-end': async () => {
    const [python, rust] = [await load<Fixture>(pythonGuest), await load<Fixture>(rustGuest)]
    void python.print_partial('the last words')
    void rust.log_lines(2000)
  },
  worker: async () => {
    if (process.argv[3] === undefined) throw new Error('which end?')
    const worker = new Worker(new URL('./printing.js', import.meta.url), { argv: [process.argv[3]] })
    await new Promise((resolve) => worker.once('exit', resolve))
    // A worker's own streams arrive by messages.
    await sleep(50)
  },
})
