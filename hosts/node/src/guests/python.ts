// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { PolyloopError } from '../common/errors.ts'
import type { Settings } from '../common/options.ts'
import { refusalOf, toPolyloop } from '../common/reasons.ts'
import { nativeFile } from '../native/addon.ts'
import { howOf, type Ran, runGuarded } from '../native/guarded-process.ts'
import { fromHere, type Locator } from './locator.ts'
import { type Probe, toProbe } from './probe.ts'
import type { GuestStart } from './start.ts'

const advice = 'install Python 3.9 to 3.14, or name one by the option python or venv'

/** Milliseconds in which an interpreter must have answered: a program that is something else never does. */
const answerWithin = 20_000

/** Characters that are told of what a program has said in a line. */
const shown = 200
/** Lines that are told of what it said last, and characters of them. */
const shownLines = 20
const shownLast = 4_000

/**
 * A Python module: in a process of its own that is the interpreter itself, on threads by the loader, which has to know
 * where the interpreter's library is.
 *
 * @throws not-found, init-failed
 */
export async function startPython(locator: Locator & { kind: 'python' }, settings: Settings): Promise<GuestStart> {
  const { module = null, file = null } = locator
  if (file !== null && !existsSync(file)) {
    throw new PolyloopError('not-found', `there is no Python file at ${file}: correct the path${startOf(file)}`)
  }
  const program = interpreter(settings)
  const how = settings.placement === 'process' ? { running: true } : { probe: await probe(program) }
  return {
    library: nativeFile('libpolyloop_python.so'),
    loader: JSON.stringify({ module, file, kit: nativeFile('python'), ...how }),
    command: [program, nativeFile('python_process.py'), nativeFile('libpolyloop_guest_process.so')],
    advice,
  }
}

/** What is to be said of a path that starts at the working directory, or may. */
function startOf(file: string): string {
  return file.startsWith(fromHere('./')) ? ' (a relative one starts at the working directory)' : ''
}

/** The interpreter that the options name. */
function interpreter(options: { python?: string | undefined; venv?: string | undefined }): string {
  const { python, venv } = options
  if (python !== undefined) return python.includes('/') ? fromHere(python) : python
  const folder = venv ?? process.env.VIRTUAL_ENV
  if (folder === undefined) return 'python3'
  const whole = fromHere(folder)
  const path = join(whole, 'bin', 'python')
  if (existsSync(path)) return path
  throw new PolyloopError('not-found', `there is no virtual environment at ${whole}: make one with python3 -m venv`)
}

/**
 * Asks an interpreter where its library and packages are, in a process of its own.
 *
 * @throws not-found if there is no such interpreter, init-failed if it cannot serve, overloaded if no process can be had
 */
async function probe(executable: string): Promise<Probe> {
  const ran = await runGuarded([executable, nativeFile('python_probe.py')], answerWithin)
  if (ran.end.event === 'unrunnable' || ran.end.code !== 0) throw unusable(executable, ran)
  try {
    return toProbe(ran.stdout)
  } catch (cause) {
    const said = ran.stdout.slice(0, shown)
    const message = `'${executable}' is not a Python interpreter: it answered '${said}'; ${advice}`
    throw new PolyloopError('init-failed', message, { cause })
  }
}

function unusable(executable: string, { end, stderr, excess }: Ran): PolyloopError {
  const what = `'${executable}' cannot be used as a Python interpreter`
  if (end.event === 'unrunnable') {
    if (end.missing) {
      return new PolyloopError('not-found', `there is no Python interpreter at '${executable}': ${advice}`)
    }
    const code = refusalOf(end.message)?.code
    // The interpreter is not to blame.
    if (code === 'overloaded' || code === 'too-large') return toPolyloop(new Error(end.message), what)
  }
  const how = end.event === 'unrunnable' ? end.message : `it ${howOf(end)}`
  const told = { time: `it does not answer within ${answerWithin} ms`, words: 'it says more than an interpreter does' }
  const lines = stderr.trim().split('\n').slice(-shownLines)
  const said = (excess && told[excess]) ?? (lines.length > 1 ? how : (lines[0] || how).slice(0, shown))
  const wrote =
    excess === undefined && lines.length > 1 ? `; it wrote last:\n${lines.join('\n').slice(-shownLast)}` : ''
  return new PolyloopError('init-failed', `${what}: ${said}; ${advice}${wrote}`)
}
