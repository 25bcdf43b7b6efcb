// SPDX-License-Identifier: Apache-2.0
// An example that serves HTTP, and the requests that a document makes to it with curl.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { root } from '../common/exec.ts'

/** A service that listens. */
export interface Service {
  readonly origin: string
  /** Interrupts it, as Ctrl+C does; how it ended. */
  end(): Promise<number | NodeJS.Signals | null>
}

/** Starts an example on a port that is free. */
export async function serve(path: string): Promise<Service> {
  const child = spawn(process.execPath, [path], {
    cwd: root,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null)
  const origin = await Promise.race([
    listening(child),
    ended.then((how) => Promise.reject(new Error(`${path} ended with ${how} before it listened`))),
  ])
  const end = (): typeof ended => {
    child.kill('SIGINT')
    return ended
  }
  return { origin, end }
}

async function listening({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) throw new Error('its output is not read')
  for await (const line of createInterface(stdout)) {
    const [, origin] = /^listening on (http:\S+)$/.exec(line) ?? []
    if (origin !== undefined) return origin
  }
  throw new Error('it has not said where it listens')
}

/** Does what a pipe of curls does, of which each sends what the one before it got. The last answer. */
export async function curl(command: string, origin: string): Promise<Response> {
  let body: string | undefined
  let response: Response | undefined
  for (const stage of command.split('|')) {
    const [, options = '', path = ''] = /^\s*curl ((?:-X POST |-d @- )*)localhost:8080(\/\S*)\s*$/.exec(stage) ?? []
    if (path === '') throw new Error(`no rule covers '${stage.trim()}' (tools/docs/service.ts)`)
    const sends = options.includes('-d @-')
    response = await fetch(origin + path, {
      method: options === '' ? 'GET' : 'POST',
      ...(sends && body !== undefined && { body }),
    })
    body = await response.clone().text()
  }
  if (response === undefined) throw new Error('there is no curl')
  return response
}
