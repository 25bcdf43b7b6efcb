// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { inRoot } from '../support/paths.ts'

/** How a program ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** A command that runs the program, such as strace with its options. */
  readonly under?: readonly string[]
  /** Options of Node.js. */
  readonly node?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A descriptor that it reads. */
  readonly stdin?: number
  /** Sent when the program prints its first line. */
  readonly kill?: NodeJS.Signals
}

/**
 * Options of Node.js for a program that calls process.exit() while it is busy: without threads of V8. Node.js joins those
 * when it exits, for ever if one of them compiles and waits for the main thread to collect garbage
 * (nodejs/node#54918): at a load of 20 that happened to one in thirty busy programs on Node.js 24.
 */
export const toExit: readonly string[] = ['--single-threaded']

/** Milliseconds after which a program counts as hung: a watchdog, and no claim about speed. */
const watchdog = 240_000

/** Runs `programs/<name>.ts`, as it was compiled, to its end. */
export function run(name: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const { under = [], node = [], env = {}, stdin = 'ignore', kill } = options
  const program = inRoot(`hosts/node/test/dist/lifecycle/programs/${name}.js`)
  const [command, ...rest] = [...under, process.execPath, ...node, program, ...args]
  const child = spawn(command as string, rest, {
    // In a group of its own, so that the watchdog reaches what it started.
    detached: true,
    stdio: [stdin, 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  })
  if (kill !== undefined) child.stdout?.once('data', () => child.kill(kill))
  return ended(child, `${name} ${args.join(' ')}`)
}

function ended(child: ChildProcess, what: string): Promise<Ended> {
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text
    })
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      process.kill(-(child.pid as number), 'SIGKILL')
      reject(new Error(`${what} hangs; it said: ${said.stdout.slice(-2000)}\n${said.stderr.slice(-2000)}`))
    }, watchdog)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code, signal, ...said })
    })
  })
}

/** Runs a program that must end well and say nothing on stderr; returns what its last line says in JSON. */
export async function ask<T>(name: string, args: readonly string[], options: RunOptions = {}): Promise<T> {
  const { code, signal, stdout, stderr } = await run(name, args, options)
  if (code !== 0 || stderr !== '') {
    throw new Error(`${name} ${args.join(' ')} ended with ${code ?? signal}:\n${stderr}\n${stdout}`)
  }
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T
}
