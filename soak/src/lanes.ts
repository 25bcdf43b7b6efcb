// SPDX-License-Identifier: Apache-2.0
// Callers: each makes one call after the other, and checks what comes back.
import { PolyloopError, type Runtime } from 'polyloop'
import type { Random } from './random.ts'
import type { Tally } from './tally.ts'

export interface Guest {
  readonly name: string
  readonly runtime: Runtime
}

/** How calls are made. */
export interface Mix {
  /** Longest request, in bytes. */
  readonly longest: number
  /** Once in so many calls the caller gives it up, or gives it a deadline that may pass. 0: never. */
  readonly givesUp: number
  /** Once in so many calls it is a stream. */
  readonly streams: number
}

const ofGivingUp: readonly string[] = ['cancelled', 'deadline']

/** Bytes that no other call has sent: a number of its own in front, and everywhere what follows from it. */
export function request(number: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.max(8, length))
  bytes.fill(number & 0xff)
  bytes.writeDoubleLE(number)
  bytes[bytes.length - 1] = (number >>> 8) & 0xff
  return bytes
}

export class Lanes {
  /** Calls made so far: the number of the next. */
  made = 0
  #over = false
  readonly #guests: readonly Guest[]
  readonly #random: Random
  readonly #tally: Tally
  readonly #mix: Mix
  /** Codes that calls may be rejected with because of what happens to their guest. */
  readonly #meant: ReadonlySet<string>

  constructor(
    guests: readonly Guest[],
    random: Random,
    tally: Tally,
    mix: Mix,
    meant: readonly string[] = ['guest-crashed'],
  ) {
    this.#meant = new Set(meant)
    this.#guests = guests
    this.#random = random
    this.#tally = tally
    this.#mix = mix
  }

  /** Has so many callers call until `made` calls were made in all, or until the end is asked for. */
  async run(callers: number, most: number): Promise<void> {
    const lane = async (): Promise<void> => {
      while (!this.#over && this.made < most) await this.#one(this.made++)
    }
    await Promise.all(Array.from({ length: callers }, lane))
    this.#over = true
  }

  /** Whether no more calls are made. */
  get isOver(): boolean {
    return this.#over
  }

  end(): void {
    this.#over = true
  }

  async #one(number: number): Promise<void> {
    const { name, runtime } = this.#guests[this.#random.below(this.#guests.length)] as Guest
    const { streams, givesUp } = this.#mix
    if (streams > 0 && this.#random.once(streams)) await this.#stream(name, runtime)
    else if (givesUp > 0 && this.#random.once(givesUp)) await this.#givenUp(name, runtime, number)
    else await this.#call(name, runtime, number)
  }

  async #call(name: string, runtime: Runtime, number: number): Promise<void> {
    const sent = request(number, this.#random.length(this.#mix.longest))
    try {
      const back = await runtime.send(sent)
      this.#tally.bytes += back.length
      if (back.equals(sent)) this.#tally.answered++
      else this.#tally.fault(`${name} answered call ${number} of ${sent.length} bytes with ${back.length} others`)
    } catch (error) {
      await this.#rejected(name, error)
    }
  }

  /** The caller may be answered first; it must not hear of it twice, and the guest's answer goes nowhere. */
  async #givenUp(name: string, runtime: Runtime, number: number): Promise<void> {
    const sent = request(number, this.#random.length(this.#mix.longest))
    const controller = new AbortController()
    const options = this.#random.once(2)
      ? { signal: controller.signal }
      : { deadline: Date.now() + 1 + this.#random.below(3) }
    const call = runtime.send(sent, options)
    if (this.#random.once(2)) queueMicrotask(() => controller.abort())
    else setImmediate(() => controller.abort())
    try {
      if ((await call).equals(sent)) this.#tally.answered++
      else this.#tally.fault(`${name} answered call ${number} wrongly`)
    } catch (error) {
      await this.#rejected(name, error, ofGivingUp)
    }
  }

  async #stream(name: string, runtime: Runtime): Promise<void> {
    const count = 1 + this.#random.below(200)
    const leavesAfter = this.#random.once(3) ? this.#random.below(count) : count
    let next = 0
    try {
      if (this.#random.once(2)) await this.#feed(name, runtime, count)
      else {
        for await (const item of runtime.stream('count', [count])) {
          if (item !== next++) this.#tally.fault(`${name}: item ${next - 1} of a stream is ${JSON.stringify(item)}`)
          if (next === leavesAfter) break
        }
        if (next !== leavesAfter && next !== count)
          this.#tally.fault(`${name}: a stream of ${count} ended after ${next}`)
        this.#tally.items += next
      }
      this.#tally.streams++
    } catch (error) {
      await this.#rejected(name, error)
    }
  }

  async #feed(name: string, runtime: Runtime, count: number): Promise<void> {
    async function* numbers(): AsyncGenerator<number> {
      for (let number = 0; number < count; number++) yield number
    }
    const total = await runtime.call('total', [numbers()])
    if (total !== (count * (count - 1)) / 2)
      this.#tally.fault(`${name}: the total of ${count} numbers is ${String(total)}`)
    this.#tally.items += count
  }

  /** What is refused at once is tried again in the next turn of the loop, which others have, too. */
  async #rejected(name: string, error: unknown, alsoMeant: readonly string[] = []): Promise<void> {
    const isOurs = error instanceof PolyloopError
    if (isOurs && (this.#meant.has(error.code) || alsoMeant.includes(error.code))) this.#tally.reject(error.code)
    else this.#tally.fault(`${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
