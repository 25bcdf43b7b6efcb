// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { pathOf } from '../common/urls.ts'
import { guarded } from './guarded.ts'
import { requireFile, requireNode, unopened } from './platform.ts'

/** The Node-API add-on: `hosts/node/addon/src/exports.rs`. One instance a thread. */
export interface BindingNative {
  openHub(): ArrayBuffer
  listen(
    drain: () => void,
    onEvent: (id: number, kind: BindingEvent | JoinEvent, rc: number, payload: string) => void,
  ): number
  stopListening(number: number): void
  createConnection(id: number, options: string): ArrayBuffer
  privateMemory(id: number): ArrayBuffer
  start(id: number, options: string): void
  close(id: number): void
  letGo(id: number): void
  startProcess(options: string): string
  killProcess(pid: number): void
  resumeProcess(pid: number): void
  childDescriptors(id: number): string
  closeChildDescriptors(id: number): void
  joinSharedGuest(id: number, wanted: string): void
  sharedGuestSockets(id: number): string
  parkingWords(id: number): ArrayBuffer
  removeConnection(id: number, mayRead: 0 | 1): void
  doorbell(id: number): void
  refLoop(): void
  pin(id: number, requestBuffer: number, word: number, view: Uint8Array): void
  actOnControlRing(id: number): void
  slab(id: number, slab: number, bytes: number): ArrayBuffer
  openRequestHeap(requests: number, process: 0 | 1): void
  alloc(requests: number, bytes: number): [ArrayBuffer, number]
  releaseRequestHeap(requests: number): void
  takeLog(id: number): string
  counts(id: number): string
  ending(): void
  handStreamsOn(): void
}

/** What the add-on tells of a connection outside its rings. */
export type BindingEvent = 'ready' | 'failed' | 'died' | 'closed'

/** What it tells of a connection on its way to a guest that others have, too. */
export type JoinEvent = 'joined' | 'refused'

/** What `counts` returns, as JSON; the last four only for a connection. */
export interface BindingCounts {
  pinsHold: boolean
  nativeCalls: number
  drains: number
  doorbells: number
  helps: number
  turns: number
  wakeups?: number
  duplicates?: number
  slabBytes?: number
  pinned?: number
}

/**
 * A file that is built beside the package: the add-on, the Python loader, its probe.
 *
 * @throws init-failed if it is not there
 */
export function nativeFile(name: string): string {
  // There is none in what a bundler has made CommonJS of; a URL that is made of it some bundlers replace.
  const here = pathOf(import.meta.url as string | undefined)
  const path = here === undefined ? undefined : join(here, '..', '..', '..', 'native', name)
  requireFile(path)
  return path
}

/** Whether memory of callers can be pinned; otherwise the add-on copies it. */
export function canPin(): boolean {
  return (JSON.parse(native.counts(0)) as BindingCounts).pinsHold
}

/** The functions of the add-on if it is open; those of the path of calls as they are. */
export const native: BindingNative = {} as BindingNative
let isOpen = false

/**
 * Opens the add-on, once.
 *
 * @throws init-failed if it cannot be opened here; overloaded if it cannot be now
 */
export function openNative(): void {
  if (isOpen) return
  requireNode()
  Object.assign(native, guarded(binding(), whats))
  isOpen = true
}

function binding(): BindingNative {
  const file = nativeFile('polyloop.node')
  try {
    // What bundlers see of this they would replace.
    const { createRequire } = process.getBuiltinModule('node:module')
    return createRequire(file)(file) as BindingNative
  } catch (error) {
    throw unopened(error)
  }
}

/** What cannot be done if the system refuses one of these. */
const whats: Partial<Record<keyof BindingNative, string>> = {
  openHub: 'this thread cannot have guests',
  openRequestHeap: 'an instance cannot be made',
  createConnection: 'an instance cannot be made',
  privateMemory: 'an instance cannot be made',
  start: 'the guest cannot be started',
  close: 'the guest cannot be ended',
  childDescriptors: 'the process of the guest cannot be started',
  closeChildDescriptors: 'the process of the guest cannot be started',
  joinSharedGuest: 'the shared guest cannot be looked for',
  sharedGuestSockets: 'the shared guest cannot be reached',
  parkingWords: 'the shared guest cannot be reached',
}

try {
  openNative()
} catch {
  // An import does no harm anywhere: the first load tries again, and says why not.
}
