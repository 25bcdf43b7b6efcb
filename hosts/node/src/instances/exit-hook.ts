// SPDX-License-Identifier: Apache-2.0

/** Something that ends well if it is told to while the program still can wait for it. */
export interface Guest {
  /** Whether no call is in flight, and none waits. */
  readonly isIdle: boolean
  unload(): Promise<void>
}

const guests = new Set<Guest>()

/**
 * Has a guest in a process of its own unloaded before the program ends by itself: it runs its own ending, instead of
 * being killed with its host.
 */
export function unloadBeforeExit(guest: Guest): void {
  if (guests.size === 0) process.on('beforeExit', onBeforeExit)
  guests.add(guest)
}

/** A guest is unloaded: the end of the program is no affair of it. */
export function keepFromExit(guest: Guest): void {
  if (guests.delete(guest) && guests.size === 0) process.off('beforeExit', onBeforeExit)
}

function onBeforeExit(): void {
  if (!idle()) return
  // Other listeners may have calls to make: those come first, and this event comes again.
  setImmediate(() => {
    for (const guest of idle() ? guests : []) void guest.unload()
  })
}

/** Calls that were given up may never end: their guests are not waited for. */
function idle(): boolean {
  return [...guests].every(({ isIdle }) => isIdle)
}
