// SPDX-License-Identifier: Apache-2.0
// Spinning, and doing without. Arguments: scenario, locator, 'spin' or not.
import { accessSync } from 'node:fs'
import { flood, load, play, tell } from './support.ts'

const [, , , locator = '', spin] = process.argv

interface Fixture {
  sleep_ms(ms: number): number
  handle(bytes: Uint8Array): Buffer
}

function mark(name: string): void {
  try {
    accessSync(`/polyloop-mark-${name}`)
  } catch {
    // There is no such file.
  }
}

await play({
  /** How often the guest had to wake the loop, with calls in sequence. */
  quick: async () => {
    const guest = await load<Fixture>(locator, { spin: spin === 'spin' })
    let wrong = 0
    await flood(2000, 1, async (index) => {
      const answer = await guest.send(Buffer.alloc(16, index % 256))
      if (answer.length !== 16 || answer[15] !== index % 256) wrong++
    })
    await flood(5000, 64, async (index) => {
      if ((await guest.send(Buffer.of(index % 256)))[0] !== index % 256) wrong++
    })
    const { wakeups } = guest.stats()
    tell({ wrong, wakeups })
  },
  /** Calls that take a millisecond, one after the other; their system calls are counted between the marks. */
  slow: async () => {
    const guest = await load<Fixture>(locator, { spin: spin === 'spin' })
    await guest.sleep_ms(1)
    mark('start-0')
    await flood(200, 1, () => guest.sleep_ms(1))
    mark('end-0')
    tell({})
  },
})
