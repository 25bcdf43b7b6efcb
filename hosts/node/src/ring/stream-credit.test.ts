// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { inRoot } from '../../test/support/paths.ts'
import { Feed } from '../../test/support/streams.ts'
import { RequestStream } from '../call/request-stream.ts'
import { mostAhead } from '../call/response-stream.ts'
import { flag } from '../common/layout.ts'
import { Block } from './block.ts'
import { ControlRing } from './control.ts'
import { RequestBuffers } from './request-buffers.ts'
import { RequestHeap } from './request-heap.ts'
import { StreamCredit } from './stream-credit.ts'

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

/** Items that are sent, by the request buffer that each took. */
class Sent extends ControlRing {
  readonly requestBuffers: number[] = []

  override item(_slot: number, _generation: number, requestBuffer: number): number {
    this.requestBuffers.push(requestBuffer)
    return 1
  }
}

test('where guests keep an item in every place the next is overloaded, and goes once they let go of one', () => {
  const block = smallest()
  const requestBuffers = new RequestBuffers(0, block, new RequestHeap(0), false)
  const control = new Sent(0, block, requestBuffers, false)
  const streamCredit = new StreamCredit(block, control, requestBuffers)
  const requestStream = new RequestStream(
    new Feed([]),
    () => item,
    () => {},
  )
  const item = { flags: 0, payload: 'x' }
  const sink = streamCredit.sink(0, 1, requestStream, () => {})
  const places = block.requestBuffers - block.slots
  for (let count = 0; count < places; count++) expect(sink.send(item)).toBe(1)
  expect(new Set(control.requestBuffers).size).toBe(places)
  // All are on their way: one will come back.
  expect(sink.send(item)).toBeUndefined()
  for (const requestBuffer of control.requestBuffers.slice(0, places)) streamCredit.givenBack(requestBuffer, flag.held)
  expect(() => sink.send(item)).toThrow(`guests keep ${places} items of streams`)
  streamCredit.release(control.requestBuffers[3] as number)
  expect(sink.send(item)).toBe(1)
  expect(control.requestBuffers.at(-1)).toBe(control.requestBuffers[3])
})

test('credit beyond the first item is lent, a share of what there is to each stream, and comes back', () => {
  const { streamCredit, block } = empty()
  const outputs = Array.from({ length: 40 }, () => ({ window: 0, ahead: mostAhead }))
  const lent = outputs.map((responseStream) => streamCredit.lend(responseStream as never))
  const all = block.credits - block.slots
  expect(lent[0]).toBe(1 + Math.ceil(all / 4))
  expect(lent).toEqual([...lent].sort((one, other) => other - one))
  expect(lent.at(-1)).toBe(1)
  expect(lent.reduce((sum, window) => sum + window - 1, 0)).toBe(all)
  for (const responseStream of outputs) streamCredit.takeBack(responseStream as never)
  expect(streamCredit.lend({ window: 0, ahead: mostAhead } as never)).toBe(lent[0])
})

test('no stream gets more credit than a window', () => {
  const { streamCredit } = empty({ credits: 100_000 })
  expect(streamCredit.lend({ window: 0, ahead: mostAhead } as never)).toBe(256)
})

function empty(other: Partial<Block> = {}): { streamCredit: StreamCredit; block: Block } {
  const block = Object.assign(smallest(), other)
  const requestBuffers = new RequestBuffers(0, block, new RequestHeap(0), false)
  return {
    streamCredit: new StreamCredit(block, new ControlRing(0, block, requestBuffers, false), requestBuffers),
    block,
  }
}
