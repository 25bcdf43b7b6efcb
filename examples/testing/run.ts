// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The root of the repository, where the examples' paths start. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url))

export interface Finished {
  /** The code of the exit, or the signal. */
  ended: number | NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Program {
  /** Resolves with the text after `prompt` on the first line of stdout that begins with it. */
  said(prompt: string): Promise<string>
  interrupt(): void
  readonly finished: Promise<Finished>
}

/** Starts a built example, as a user would; a watchdog kills it if it hangs. */
export function start(path: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(process.execPath, [`examples/dist/${path}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 240_000,
    killSignal: 'SIGKILL',
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
    })
  }
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve({ ended: code ?? signal, ...output }))
  })
  const said = async (prompt: string): Promise<string> => {
    const line = (): string | undefined => output.stdout.split('\n').find((text) => text.startsWith(prompt))
    while (line() === undefined) {
      const more = new Promise((resolve) => child.stdout.once('data', resolve))
      const end = await Promise.race([more, finished.then((it) => ({ it }))])
      if (typeof end === 'object' && line() === undefined) throw new Error(`it ended: ${JSON.stringify(end)}`)
    }
    return line()?.slice(prompt.length) ?? ''
  }
  return { said, finished, interrupt: () => child.kill('SIGINT') }
}

/** Runs a built example to its end. */
export function run(path: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return start(path, args, env).finished
}
