// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PolyloopError } from '../common/errors.ts'
import type { Settings } from '../common/options.ts'
import { nativeFile } from '../native/addon.ts'
import { type Ran, runGuarded } from '../native/guarded.ts'
import type { Locator } from './locator.ts'
import type { GuestStart } from './start.ts'

const advice = 'install Python 3.9 to 3.14, or name one by the option python or venv'

/** What an interpreter says of itself, as `_probe.py` of the Python kit prints it; the loader reads it. */
type Probe = Readonly<Record<string, unknown>>

/**
 * A Python module: in a process of its own that is the interpreter itself, on threads by the loader, which has to know
 * where the interpreter's library is.
 *
 * @throws not-found, init-failed
 */
export async function startPython(locator: Locator & { kind: 'python' }, settings: Settings): Promise<GuestStart> {
  const { module = null, file = null } = locator
  if (file !== null && !existsSync(file)) {
    const message = `there is no Python file at ${file}: correct the path, which is relative to the working directory`
    throw new PolyloopError('not-found', message)
  }
  const program = interpreter(settings)
  const how = settings.placement === 'process' ? { running: true } : { probe: await probe(program) }
  return {
    library: nativeFile('libpolyloop_python.so'),
    loader: JSON.stringify({ module, file, ...how }),
    command: [program, nativeFile('python_process.py'), nativeFile('libpolyloop_guest_process.so')],
  }
}

/** The interpreter that the options name. */
function interpreter(options: { python?: string | undefined; venv?: string | undefined }): string {
  const { python, venv } = options
  if (python !== undefined) return python.includes('/') ? resolve(python) : python
  const folder = venv ?? process.env.VIRTUAL_ENV
  if (folder === undefined) return 'python3'
  const path = join(resolve(folder), 'bin', 'python')
  if (existsSync(path)) return path
  throw new PolyloopError(
    'not-found',
    `there is no virtual environment at ${resolve(folder)}: make one with python3 -m venv`,
  )
}

/**
 * Asks an interpreter where its library and packages are, in a process of its own.
 *
 * @throws not-found if there is no such interpreter, init-failed if it cannot serve
 */
async function probe(executable: string): Promise<Probe> {
  const ran = await runGuarded([executable, nativeFile('python_probe.py')])
  if (ran.end.event === 'unrunnable' || ran.end.code !== 0) throw unusable(executable, ran)
  try {
    return JSON.parse(ran.stdout) as Probe
  } catch (cause) {
    const message = `'${executable}' is not a Python interpreter: it answered '${ran.stdout.slice(0, 200)}'; ${advice}`
    throw new PolyloopError('init-failed', message, { cause })
  }
}

function unusable(executable: string, { end, stderr }: Ran): PolyloopError {
  if (end.event === 'unrunnable' && end.missing) {
    return new PolyloopError('not-found', `there is no Python interpreter at '${executable}': ${advice}`)
  }
  const how =
    end.event === 'unrunnable'
      ? end.message
      : end.signal === null
        ? `it exited with code ${end.code}`
        : `it was killed by ${end.signal}`
  const said = stderr.trim().split('\n').at(-1) || how
  const message = `'${executable}' cannot be used as a Python interpreter: ${said}; ${advice}`
  return new PolyloopError('init-failed', message)
}
