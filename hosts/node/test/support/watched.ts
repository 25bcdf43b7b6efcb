// SPDX-License-Identifier: Apache-2.0
import type { RuntimeEvent } from '../../src/common/events.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'

/** A guest in another process, what happened to it and what it printed. */
export type Watched = Runtime & { readonly events: RuntimeEvent[]; readonly lines: string[]; pid(): number }

let number = 0

/** Starts one, whose configuration no other has. */
export async function startWatched(locator: string, options: LoadOptions = {}, config: object = {}): Promise<Watched> {
  const events: RuntimeEvent[] = []
  const lines: string[] = []
  const guest = await load(locator, {
    placement: 'process',
    config: { ...config, test: ++number },
    onEvent: (event) => events.push(event),
    log: (text) => lines.push(text),
    ...options,
  })
  const pid = (): number => guest.stats().instances[0]?.pid as number
  return Object.create(guest, { events: { value: events }, lines: { value: lines }, pid: { value: pid } }) as Watched
}

/** The types of what happened to it. */
export const types = ({ events }: Watched): string[] => events.map(({ type }) => type)
