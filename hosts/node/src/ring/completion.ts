// SPDX-License-Identifier: Apache-2.0
import { Breach } from '../common/errors.ts'
import { entryWords, header, kind } from '../common/layout.ts'
import type { Block } from './block.ts'

/** Who acts on completions. `at` is the word at which an entry begins. */
export interface CompletionReader {
  /** A response, or the return of an item of a request stream. */
  answered(at: number, meta: number): void
  /** An entry of another kind. */
  other(at: number, what: number): void
}

/** The host's end of the completion ring. */
export class CompletionRing {
  readonly #block: Block
  #head = 0

  constructor(block: Block) {
    this.#block = block
  }

  /**
   * Hands at most `limit` entries to the reader. Returns whether more wait.
   *
   * @throws Breach if the ring holds what no sound guest writes; what else the reader throws
   */
  drain(limit: number, reader: CompletionReader): boolean {
    const { words, cq, cqMask } = this.#block
    // SYNC POINT complete
    const tail = Atomics.load(words, header.cqTail)
    let head = this.#head
    if ((tail - head) >>> 0 > cqMask + 1) throw new Breach('it says that its ring holds more than it can')
    for (let left = limit; head !== tail && left > 0; left--) {
      const at = cq + (head & cqMask) * entryWords
      head = (head + 1) | 0
      const meta = words[at + 1] as number
      if ((meta & 0xff) === kind.response) reader.answered(at, meta)
      else reader.other(at, meta & 0xff)
    }
    this.#head = head
    Atomics.store(words, header.cqHead, head)
    return head !== tail
  }

  /** Passes over all that is there. */
  skip(): void {
    const { words } = this.#block
    this.#head = Atomics.load(words, header.cqTail)
    Atomics.store(words, header.cqHead, this.#head)
  }

  /** When a guest thread took a timed call; 0 if what the guest says is no time. */
  taken(at: number): number {
    const { words } = this.#block
    const taken = ((words[at + 7] as number) >>> 0) * 2 ** 32 + ((words[at + 6] as number) >>> 0)
    return taken <= Number.MAX_SAFE_INTEGER ? taken : 0
  }
}
