// SPDX-License-Identifier: Apache-2.0

/** Looks whether a guest beats. */
export class Heartbeat {
  readonly #timer: NodeJS.Timeout
  #last: number
  #told = false

  /**
   * @param beats - how often the guest has beaten
   * @param within - milliseconds in which it has to beat again
   * @param onSilence - told once each time that it does not
   */
  constructor(beats: () => number, within: number, onSilence: () => void) {
    this.#last = beats()
    this.#timer = setInterval(() => {
      const now = beats()
      if (now !== this.#last) this.#told = false
      else if (!this.#told) {
        this.#told = true
        onSilence()
      }
      this.#last = now
    }, within)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
