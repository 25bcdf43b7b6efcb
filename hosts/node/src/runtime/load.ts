// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { PolyloopError } from '../common/errors.ts'
import { differences, type LoadOptions, type Settings, settle } from '../common/options.ts'
import { type Locator, parseLocator } from '../guests/locator.ts'
import { interpreter, probe } from '../guests/python.ts'
import { forget, unloadBeforeExit } from '../instances/exit-hook.ts'
import { nativeFile } from '../native/addon.ts'
import { loadTracing } from '../observe/tracing.ts'
import type { GuestStart } from '../placement/placement.ts'
import { face, type Runtime, type Untyped } from './handle.ts'
import { RuntimeCore } from './runtime.ts'

/** Runtimes of this thread, as long as they are loaded. */
export function runtimes(): RuntimeCore[] {
  return [...loaded.values()].map(({ core }) => core)
}

interface Loaded {
  readonly settings: Settings
  readonly core: RuntimeCore
  readonly runtime: Promise<Runtime>
}

/** Runtimes of this thread by locator and configuration. */
const loaded = new Map<string, Loaded>()

/**
 * Loads a guest and initialises it. The same locator and configuration give the same runtime.
 *
 * @param locator - `python:module`, `python:./file.py`, `rust:./libx.so`, or the path of a library
 * @throws invalid-argument for a wrong locator or option, or options that differ from the first load's;
 * not-found where there is no such library, module or interpreter; init-failed where it does not start
 */
export async function load<T = Untyped>(locator: string, options: LoadOptions = {}): Promise<Runtime<T>> {
  const parsed = parseLocator(locator)
  const settings = settle(options)
  const key = `${parsed.key}\n${settings.config}`
  for (let known = loaded.get(key); known !== undefined; known = loaded.get(key)) {
    if (known.core.open) return again(locator, known, settings) as Promise<Runtime<T>>
    // It is being unloaded, or has died: the next one starts when it is gone.
    await known.core.unload()
    if (loaded.get(key) === known) loaded.delete(key)
  }
  return first(locator, parsed, key, settings) as Promise<Runtime<T>>
}

function again(locator: string, known: Loaded, settings: Settings): Promise<Runtime> {
  const different = differences(known.settings, settings)
  if (different.length === 0) return known.runtime
  const advice = 'load it with the same options, unload it first, or give it another config'
  const message = `${locator} is loaded already with another ${different.join(' and ')}: ${advice}`
  return Promise.reject(new PolyloopError('invalid-argument', message))
}

function first(locator: string, parsed: Locator, key: string, settings: Settings): Promise<Runtime> {
  const why = whyNotReload(parsed, settings)
  const cannotReload = why === undefined ? undefined : `${locator} cannot be reloaded: ${why}`
  if (settings.hotReload && cannotReload !== undefined) {
    return Promise.reject(new PolyloopError('invalid-argument', cannotReload))
  }
  const core = new RuntimeCore(locator, settings, cannotReload)
  const runtime = begin(core, parsed).catch((error: unknown) => {
    loaded.delete(key)
    forget(core)
    throw error
  })
  loaded.set(key, { settings, core, runtime })
  if (settings.placement === 'process') unloadBeforeExit(core)
  // Its block would stay mapped for as long as the entry stands.
  void core.closed.then(() => {
    forget(core)
    if (loaded.get(key)?.core === core) loaded.delete(key)
  })
  return runtime
}

function whyNotReload(parsed: Locator, { placement }: Settings): string | undefined {
  const byName = parsed.kind === 'python' && parsed.module !== undefined && placement === 'thread'
  return byName ? sharedModule : undefined
}

const sharedModule =
  "modules by name are shared by all runtimes of a process: name its file, or set placement to 'process'"

async function begin(core: RuntimeCore, parsed: Locator): Promise<Runtime> {
  const { settings } = core
  const guest = parsed.kind === 'python' ? await pythonGuest(parsed, settings) : libraryGuest(parsed.path)
  const tracing = settings.tracing ? loadTracing() : undefined
  await core.supervisor.start(guest)
  // Before the first call, which is to be traced like the others.
  await tracing
  if (settings.hotReload) watchGuest(core, parsed)
  return face<Untyped>(core)
}

function watchGuest(core: RuntimeCore, parsed: Locator): void {
  const { file } = core.manifest?.info ?? {}
  const path = parsed.kind === 'library' ? parsed.path : (parsed.file ?? file)
  // What it imports from beside it is loaded anew in a process of its own; threads keep what is imported.
  const isPython = parsed.kind === 'python' && core.settings.placement === 'process'
  if (typeof path === 'string') core.watch(path, (name) => isPython && name.endsWith('.py'))
}

function libraryGuest(library: string): GuestStart {
  return { library, loader: '', command: [nativeFile('polyloop-guest-process')] }
}

async function pythonGuest(parsed: Locator & { kind: 'python' }, settings: Settings): Promise<GuestStart> {
  if (parsed.file !== undefined && !existsSync(parsed.file)) {
    throw new PolyloopError(
      'not-found',
      `there is no Python file at ${parsed.file}: correct the path, which is relative to the working directory`,
    )
  }
  const program = interpreter(settings)
  const what = { module: parsed.module ?? null, file: parsed.file ?? null }
  // A process of its own is the interpreter itself; here the loader has to know where the interpreter's library is.
  const how = settings.placement === 'process' ? { running: true } : { probe: await probe(program) }
  return {
    library: nativeFile('libpolyloop_python.so'),
    loader: JSON.stringify({ ...what, ...how }),
    command: [program, nativeFile('python_process.py'), nativeFile('libpolyloop_guest_process.so')],
  }
}
