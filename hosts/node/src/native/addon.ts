// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { guarded } from './guarded.ts'

/** The Node-API add-on: `hosts/node/addon/src/exports.rs`. One instance a thread. */
export interface BindingNative {
  openHub(
    drain: () => void,
    onEvent: (id: number, kind: BindingEvent | JoinEvent, rc: number, payload: string) => void,
  ): ArrayBuffer
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

/** A file that is built beside the package: the add-on, the Python loader, its probe. */
export function nativeFile(name: string): string {
  return fileURLToPath(new URL(`../../native/${name}`, import.meta.url))
}

/** Whether memory of callers can be pinned; otherwise the add-on copies it. */
export function canPin(): boolean {
  return (JSON.parse(native.counts(0)) as BindingCounts).pinsHold
}

const binding = createRequire(import.meta.url)(nativeFile('polyloop.node')) as BindingNative

/** Functions of the path of calls are called as they are. */
export const native: BindingNative = guarded(binding, {
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
})
