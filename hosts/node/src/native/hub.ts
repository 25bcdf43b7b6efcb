// SPDX-License-Identifier: Apache-2.0
import { type BindingEvent, type JoinEvent, native } from './addon.ts'

/** What the hub serves: an instance, also while it starts. */
export interface HubMember {
  /** Drains some completions; returns whether more wait. */
  drain(limit: number): boolean
  event(kind: BindingEvent, rc: number, payload: string): void
  /** This thread ends. */
  exit(): void
}

/** Completions that one instance may settle before the next one has its turn. */
const turn = 256

const members = new Map<number, HubMember>()
/** Who hears of an instance on its way to a shared guest. */
const joiners = new Map<number, (kind: JoinEvent, payload: string) => void>()
/** The same members, for the hot path. */
let serving: HubMember[] = []
/** `words[0]`: 1 while the add-on keeps the loop alive; `words[1]`: 1 while it drains, reactions of promises included. */
export let words: Int32Array | undefined

/** Called by the add-on in the loop's prepare phase while completions wait. */
function drain(): void {
  // STOP 8 drain
  for (let index = 0; index < serving.length; index++) serving[index]?.drain(turn)
}

function onEvent(id: number, kind: BindingEvent | JoinEvent, rc: number, payload: string): void {
  if (kind === 'joined' || kind === 'refused') joiners.get(id)?.(kind, payload)
  else members.get(id)?.event(kind, rc, payload)
}

/** Looks for a guest that others have, too, or has one started; `wanted` as `native.joinSharedGuest` has it. */
export function joinShared(id: number, wanted: string, told: (kind: JoinEvent, payload: string) => void): void {
  joiners.set(id, told)
  native.joinSharedGuest(id, wanted)
}

let lastId = 0

/** A number for a runtime or an instance of this thread. */
export function nextId(): number {
  return ++lastId
}

/** The hub serves an instance no more. */
export function leave(id: number): void {
  members.delete(id)
  joiners.delete(id)
  serving = [...members.values()]
}

/** Has the hub serve an instance, until it leaves. */
export function join(id: number, member: HubMember): void {
  members.set(id, member)
  serving = [...members.values()]
}

/** Opens the hub of this thread, once. */
export function open(): void {
  if (words !== undefined) return
  words = new Int32Array(native.openHub(drain, onEvent))
  // No turn of the loop will come any more.
  process.on('exit', () => {
    native.ending()
    for (const member of members.values()) member.exit()
  })
}

/** Whether the add-on drains, and will act on the control rings afterwards. */
export function isDraining(): boolean {
  return words !== undefined && words[1] !== 0
}
