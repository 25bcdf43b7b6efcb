// SPDX-License-Identifier: Apache-2.0

/** Something that ends well if it is told to while the program still can wait for it. */
export interface Guest {
  /** Whether no call is in flight, and none waits. */
  readonly isIdle: boolean
  unload(): Promise<void>
}

const guests = new Set<Guest>()
/** Those that were told to end: once, for an unload that cannot come to its end does not hold up the program's. */
const told = new WeakSet<Guest>()

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
  if (untold().length === 0) return
  // Other listeners may have calls to make: those come first, and this event comes again.
  setImmediate(() => {
    for (const guest of untold()) {
      told.add(guest)
      void guest.unload()
    }
  })
}

/** Those that are to be told, if all can end: calls that were given up may never, and their guests are not waited for. */
function untold(): Guest[] {
  const all = [...guests]
  return all.every(({ isIdle }) => isIdle) ? all.filter((guest) => !told.has(guest)) : []
}
