// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { inRoot } from '../../test/support/paths.ts'
import { Feed } from '../../test/support/streams.ts'
import { Input } from '../call/request-stream.ts'
import { mostAhead } from '../call/response-stream.ts'
import { Block, flag } from './block.ts'
import { ControlRing } from './control.ts'
import { Carriers } from './request-buffers.ts'
import { RequestMemory } from './request-heap.ts'
import { Flows } from './stream-credit.ts'

type Words = Readonly<Record<string, number>>
const { layouts } = JSON.parse(readFileSync(inRoot('spec/ring.json'), 'utf8')) as { layouts: { constants: Words }[] }

/** The block of one call: 65 places for items. */
function smallest(): Block {
  const c = layouts[0]?.constants as Words
  const memory = new ArrayBuffer(c.total as number)
  const names =
    'magic version slots sqEntries cqEntries sqOffset cqOffset pinsOffset requestsOffset responsesOffset total'
  const more = 'carriers controlEntries controlOffset credits'
  new Int32Array(memory).set(`${names} ${more}`.split(' ').map((name) => c[name] as number))
  return new Block(memory)
}

/** Items that are sent, by the carrier that each took. */
class Sent extends ControlRing {
  readonly carriers: number[] = []

  override item(_slot: number, _generation: number, carrier: number): number {
    this.carriers.push(carrier)
    return 1
  }
}

test('where guests keep an item in every place the next is overloaded, and goes once they let go of one', () => {
  const block = smallest()
  const carriers = new Carriers(0, block, new RequestMemory(0), false)
  const control = new Sent(0, block, carriers, false)
  const flows = new Flows(block, control, carriers)
  const input = new Input(
    new Feed([]),
    () => item,
    () => {},
  )
  const item = { flags: 0, payload: 'x' }
  const sink = flows.sink(0, 1, input, () => {})
  const places = block.carriers - block.slots
  for (let count = 0; count < places; count++) expect(sink.send(item)).toBe(1)
  expect(new Set(control.carriers).size).toBe(places)
  // All are on their way: one will come back.
  expect(sink.send(item)).toBeUndefined()
  for (const carrier of control.carriers.slice(0, places)) flows.givenBack(carrier, flag.held)
  expect(() => sink.send(item)).toThrow(`guests keep ${places} items of streams`)
  flows.release(control.carriers[3] as number)
  expect(sink.send(item)).toBe(1)
  expect(control.carriers.at(-1)).toBe(control.carriers[3])
})

test('credit beyond the first item is lent, a share of what there is to each stream, and comes back', () => {
  const { flows, block } = empty()
  const outputs = Array.from({ length: 40 }, () => ({ window: 0, ahead: mostAhead }))
  const lent = outputs.map((output) => flows.lend(output as never))
  const all = block.credits - block.slots
  expect(lent[0]).toBe(1 + Math.ceil(all / 4))
  expect(lent).toEqual([...lent].sort((one, other) => other - one))
  expect(lent.at(-1)).toBe(1)
  expect(lent.reduce((sum, window) => sum + window - 1, 0)).toBe(all)
  for (const output of outputs) flows.takeBack(output as never)
  expect(flows.lend({ window: 0, ahead: mostAhead } as never)).toBe(lent[0])
})

test('no stream gets more credit than a window', () => {
  const { flows } = empty({ credits: 100_000 })
  expect(flows.lend({ window: 0, ahead: mostAhead } as never)).toBe(256)
})

function empty(other: Partial<Block> = {}): { flows: Flows; block: Block } {
  const block = Object.assign(smallest(), other)
  const carriers = new Carriers(0, block, new RequestMemory(0), false)
  return { flows: new Flows(block, new ControlRing(0, block, carriers, false), carriers), block }
}
