// SPDX-License-Identifier: Apache-2.0
import { isAborted } from '../common/abort.ts'
import { PolyloopError } from '../common/errors.ts'
import { differences, type LoadOptions, type Settings, settle } from '../common/options.ts'
import { toPolyloop } from '../common/reasons.ts'
import { isIdentifier, type Locator, parseLocator } from '../guests/locator.ts'
import { prepare, usualPlacement } from '../guests/prepare.ts'
import type { OwnCode } from '../instances/code-tree.ts'
import { keepFromExit, unloadBeforeExit } from '../instances/exit-hook.ts'
import { openNative } from '../native/addon.ts'
import { loadTracing } from '../observe/tracing.ts'
import { type Runtime, toHandle, type Untyped } from './handle.ts'
import { cancelled, type Patience, startWithin, type UnloadOptions, unloadTimeout } from './limits.ts'
import { add, find, type Loaded, remove } from './registry.ts'
import { RuntimeCore } from './runtime.ts'

/**
 * Loads a guest and initialises it. The same locator and configuration give the same runtime.
 *
 * @param locator - `python:module`, `rust:./libx.so`, or the path or file URL of a Python file or a library: that of
 * one beside the caller is `new URL('./file.py', import.meta.url)`
 * @throws invalid-argument for a wrong locator or option, or options that differ from the first load's;
 * not-found if there is no such library, module or interpreter; init-failed if it does not start;
 * deadline, cancelled if it has not started within the timeout, or when the signal aborts
 */
export async function load<T = Untyped>(locator: string | URL, options: LoadOptions = {}): Promise<Runtime<T>> {
  const parsed = parseLocator(locator)
  const name = typeof locator === 'string' ? locator : parsed.key
  const settings = settle(options, usualPlacement(parsed))
  const patience = { ...settings, for: 'load', since: performance.now() } as const
  openNative()
  const key = `${parsed.key}\n${settings.config}`
  for (let known = find(key); known !== undefined; known = find(key)) {
    if (known.core.open) {
      const different = differences(known.settings, settings)
      if (different.length > 0) throw otherwise(name, different)
      return lease<T>(known, patience)
    }
    await gone(known, patience)
    remove(key, known.core)
  }
  const { signal } = settings
  if (signal !== undefined && isAborted(signal)) throw cancelled(name, patience)
  return lease<T>(first(name, parsed, key, settings), patience)
}

/** It is being unloaded, or has died: the next one starts when it is gone. */
async function gone({ core }: Loaded, patience: Patience): Promise<void> {
  // One on threads that does not end is gone from here when its unload has been given up.
  const ended = core.unload().catch(() => {})
  const waits = { name: core.name, waiters: 0, abandonStart: () => {} }
  await startWithin(ended, waits, patience)
}

function otherwise(name: string, different: readonly string[]): PolyloopError {
  const advice = 'load it with the same options, or without them, unload it first, or give it another config'
  const message = `${name} is loaded already with other options (${different.join(', ')}): ${advice}`
  return new PolyloopError('invalid-argument', message)
}

/** A caller's own. */
type LoadPatience = Patience & Pick<Settings, 'onEvent'>

/** A handle of its own for whoever has loaded a runtime; the guest ends with the last of them. */
async function lease<T>(loaded: Loaded, patience: LoadPatience): Promise<Runtime<T>> {
  loaded.leases++
  const forgetListener = loaded.core.listen(patience.onEvent)
  let over: Promise<void> | undefined
  const end = (options?: UnloadOptions): Promise<void> => {
    // Another timeout may be said later, and it is the guest's end that is bounded.
    if (over !== undefined) return loaded.leases === 0 ? loaded.core.unload(options) : over
    forgetListener()
    loaded.leases--
    over = loaded.leases === 0 ? loaded.core.unload(options) : checked(options)
    return over
  }
  try {
    await startWithin(loaded.started, loaded.core, patience)
  } catch (error) {
    forgetListener()
    loaded.leases--
    throw error
  }
  const unloaded = (): PolyloopError =>
    new PolyloopError('unloaded', `${loaded.core.name} was unloaded by who calls: load it again`)
  return toHandle<T>(loaded.core, {
    refusal: () => (over !== undefined && loaded.leases > 0 ? unloaded() : undefined),
    unload: end,
  })
}

/** @throws invalid-argument */
async function checked(options: UnloadOptions | undefined): Promise<void> {
  unloadTimeout(options)
}

/** @throws invalid-argument */
function first(name: string, parsed: Locator, key: string, settings: Settings): Loaded {
  const why = whyNotReload(parsed, settings)
  const cannotReload = why === undefined ? undefined : `${name} cannot be reloaded: ${why}`
  if (settings.hotReload && cannotReload !== undefined) throw new PolyloopError('invalid-argument', cannotReload)
  const core = new RuntimeCore(name, settings, cannotReload)
  const forget = (): void => {
    keepFromExit(core)
    remove(key, core)
  }
  const started = begin(core, parsed).catch((error: unknown) => {
    forget()
    throw toPolyloop(error, `${name} could not be loaded`)
  })
  const loaded = { settings, core, started, leases: 0 }
  add(key, loaded)
  if (settings.placement === 'process') unloadBeforeExit(core)
  // Its block would stay mapped for as long as the entry stands.
  void core.closed.then(forget)
  return loaded
}

function whyNotReload(parsed: Locator, { placement }: Settings): string | undefined {
  const byName = parsed.kind === 'python' && parsed.module !== undefined && placement === 'thread'
  return byName ? sharedModule : undefined
}

const sharedModule =
  "modules by name are shared by all runtimes of a process: name its file, or set placement to 'process'"

async function begin(core: RuntimeCore, parsed: Locator): Promise<void> {
  const { settings } = core
  const guest = await prepare(parsed, settings)
  const tracing = settings.tracing ? loadTracing() : undefined
  await core.supervisor.start(guest)
  try {
    // Before the first call, which is to be traced like the others.
    await tracing
    if (settings.hotReload) watchGuest(core, parsed)
  } catch (error) {
    // Nobody will have a handle of it.
    await core.unload()
    throw error
  }
}

function watchGuest(core: RuntimeCore, parsed: Locator): void {
  const { file } = core.manifest?.info ?? {}
  const path = parsed.kind === 'library' ? parsed.path : (parsed.file ?? file)
  // What it imports from its own tree is loaded again in a process of its own; threads keep what is imported.
  const isPython = parsed.kind === 'python' && core.settings.placement === 'process'
  if (typeof path === 'string') core.watch(path, isPython ? ownPython : undefined)
}

/** What a Python guest may import from beside its file. */
const ownPython: OwnCode = {
  isFile: (name) => name.endsWith('.py'),
  isFolder: (name) => isIdentifier(name) && name !== '__pycache__' && name !== 'node_modules',
  // A virtual environment's.
  foreign: 'pyvenv.cfg',
}
