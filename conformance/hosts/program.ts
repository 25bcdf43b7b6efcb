// SPDX-License-Identifier: Apache-2.0
// A host in a process of its own, which does what a test asks for in messages: `other.ts`.
import type { PolyloopError } from 'polyloop'
import { languages } from '../languages.ts'
import type { Subject } from '../subject.ts'
import { loadSubject } from './node.ts'
import type { Asked, Outcome } from './other.ts'

let guest: Subject
/** Calls that nobody waits for yet. */
let begun: Promise<Outcome>[] = []

function outcome(call: Promise<unknown>): Promise<Outcome> {
  return call.then(
    (value) => ({ value }),
    ({ code, message, exit }: PolyloopError) => ({ code, message, signal: exit?.signal ?? undefined }),
  )
}

const asked: Asked = {
  load: async (name, options) => {
    const language = languages.find((one) => one.name === name)
    if (language === undefined) throw new Error(`there is no language ${name}`)
    return outcome(
      loadSubject({ language, placement: 'shared' }, options).then((loaded) => {
        guest = loaded
        return guest.pid()
      }),
    )
  },
  call: (name, ...args) => outcome(guest.call(name, args)),
  items: async (name, ...args) => {
    const items: unknown[] = []
    for await (const item of guest.stream(name, args)) items.push(item)
    return items
  },
  begin: async (count, name, ...args) => {
    begun = Array.from({ length: count }, () => outcome(guest.call(name, args)))
  },
  outcomes: () => Promise.all(begun),
  pid: async () => guest.pid(),
  types: async () => guest.events.map(({ type }) => type),
  lines: async () => [...guest.lines],
  unload: () => guest.unload(),
}

process.on('message', ([id, name, args]: [number, keyof Asked, never[]]) => {
  const ask = asked[name] as (...args: never[]) => Promise<unknown>
  ask(...args).then(
    (value) => process.send?.([id, value]),
    (error: Error) => process.send?.([id, undefined, String(error.stack)]),
  )
})
