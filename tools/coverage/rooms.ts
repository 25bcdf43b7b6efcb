// SPDX-License-Identifier: Apache-2.0
// What of the code ran, by rooms: a folder of sources, a crate.

/** Kinds of what can run, in the order of the table. The compiler of Rust that is stable knows no branches. */
export const kinds = ['lines', 'branches', 'functions'] as const
export type Kind = (typeof kinds)[number]

/** How much of a kind ran. */
interface Share {
  ran: number
  all: number
}

/** What of a room ran. */
export type Room = Partial<Record<Kind, Share>>

/** Rooms by their names. */
export type Rooms = ReadonlyMap<string, Room>

/** Adds up shares by rooms. */
export function byRoom(files: Iterable<readonly [room: string, file: Room]>): Rooms {
  const rooms = new Map<string, Room>()
  for (const [name, file] of files) {
    const room = rooms.get(name) ?? {}
    for (const kind of kinds) {
      const more = file[kind]
      if (more === undefined) continue
      const { ran, all } = room[kind] ?? { ran: 0, all: 0 }
      room[kind] = { ran: ran + more.ran, all: all + more.all }
    }
    rooms.set(name, room)
  }
  return rooms
}

const percent = ({ ran, all }: Share): string => (all === 0 ? '-' : ((100 * ran) / all).toFixed(1))

/** A table of rooms, and of what ran in all, with a group of columns for each of `measured`. */
export function table(title: string, measured: Readonly<Record<string, Rooms>>): string {
  const columns = Object.entries(measured)
  const names = [...new Set(columns.flatMap(([, rooms]) => [...rooms.keys()]))].sort()
  if (names.length === 0) throw new Error(`${title}: nothing was measured`)
  const there = kinds.filter((kind) => columns.some(([, rooms]) => [...rooms.values()].some((room) => room[kind])))
  const width = Math.max(title.length, ...names.map((name) => name.length))
  const cells = (room: Room | undefined): string =>
    there.map((kind) => percent(room?.[kind] ?? { ran: 0, all: 0 }).padStart(kind.length)).join('  ')
  const line = (first: string, rest: readonly string[]): string => [first.padEnd(width), ...rest].join('   ').trimEnd()
  const heading = there.join('  ')
  return [
    line(
      '',
      columns.map(([name]) => name.padEnd(heading.length)),
    ),
    line(
      title,
      columns.map(() => heading),
    ),
    ...names.map((name) =>
      line(
        name,
        columns.map(([, rooms]) => cells(rooms.get(name))),
      ),
    ),
    line(
      'in all',
      columns.map(([, rooms]) => cells(byRoom([...rooms.values()].map((room) => ['', room] as const)).get(''))),
    ),
  ].join('\n')
}
