// SPDX-License-Identifier: Apache-2.0
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The Node-API add-on: `hosts/node/addon/src/exports.rs`. One instance a thread. */
export interface BindingNative {
  open(
    drain: () => void,
    onEvent: (id: number, kind: BindingEvent | JoinEvent, rc: number, payload: string) => void,
  ): ArrayBuffer
  create(id: number, options: string): ArrayBuffer
  own(id: number): ArrayBuffer
  start(id: number, options: string): void
  close(id: number): void
  files(id: number): string
  spawned(id: number): void
  join(id: number, name: string): void
  found(id: number): void
  lines(id: number): string
  porch(id: number): ArrayBuffer
  remove(id: number, mayRead: 0 | 1): void
  doorbell(id: number): void
  hold(): void
  pin(id: number, carrier: number, word: number, view: Uint8Array): void
  control(id: number): void
  slab(id: number, slab: number, bytes: number): ArrayBuffer
  alloc(requests: number, bytes: number): [ArrayBuffer, number]
  forget(requests: number): void
  takeLog(id: number): string
  counts(id: number): string
  ending(): void
}

/** What the add-on tells of a runtime outside its rings. */
export type BindingEvent = 'ready' | 'failed' | 'died' | 'closed'

/** What it tells of a runtime on its way to a guest that others have, too. */
export type JoinEvent = 'found' | 'joined' | 'refused'

/** What `counts` returns, as JSON; the last four only for a runtime. */
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
  return fileURLToPath(new URL(`../native/${name}`, import.meta.url))
}

/** Whether memory of callers can be pinned; otherwise the add-on copies it. */
export function canPin(): boolean {
  return (JSON.parse(native.counts(0)) as BindingCounts).pinsHold
}

export const native: BindingNative = createRequire(import.meta.url)(nativeFile('polyloop.node')) as BindingNative
