// SPDX-License-Identifier: Apache-2.0
import { type BindingEvent, type JoinEvent, native, openNative } from './addon.ts'

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
/**
 * Of the hub, and so of all copies of this module that there are in this thread, if something evaluates it again.
 * `words[0]`: 1 while the add-on keeps the loop alive; `words[1]`: 1 while it drains, reactions of promises included;
 * `words[2]`: the last number that was given.
 */
export let words: Int32Array | undefined
/** The number of this module's functions in the hub. It keeps them, and so all of this module, only while it has members. */
let listening: number | undefined

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

/** A number for a runtime or an instance of this thread. */
export function nextId(): number {
  const all = open()
  all[2] = (all[2] as number) + 1
  return all[2]
}

/** The hub serves an instance no more. */
export function leave(id: number): void {
  members.delete(id)
  joiners.delete(id)
  serving = [...members.values()]
  if (members.size > 0 || listening === undefined) return
  native.stopListening(listening)
  listening = undefined
}

/** Has the hub serve an instance, until it leaves. */
export function join(id: number, member: HubMember): void {
  listening ??= native.listen(drain, onEvent)
  members.set(id, member)
  serving = [...members.values()]
}

/**
 * Opens the hub of this thread, once.
 *
 * @throws init-failed if the add-on cannot be opened here
 */
export function open(): Int32Array {
  if (words !== undefined) return words
  openNative()
  words = new Int32Array(native.openHub())
  // No turn of the loop will come any more.
  process.on('exit', () => {
    native.ending()
    for (const member of members.values()) member.exit()
  })
  return words
}

/** Whether the add-on drains, and will act on the control rings afterwards. */
export function isDraining(): boolean {
  return words !== undefined && words[1] !== 0
}
