// SPDX-License-Identifier: Apache-2.0

/** What has come of all calls. */
export class Tally {
  /** Answered, and rightly. */
  answered = 0
  streams = 0
  items = 0
  bytes = 0
  kills = 0
  reloads = 0
  /** Rejections that were meant to be, by their code. */
  readonly rejected: Record<string, number> = {}
  /** What must not be: wrong answers, and errors that nobody asked for. At most some are kept. */
  readonly wrong: string[] = []
  wrongCount = 0

  reject(code: string): void {
    this.rejected[code] = (this.rejected[code] ?? 0) + 1
  }

  fault(what: string): void {
    this.wrongCount++
    if (this.wrong.length < 20) this.wrong.push(what)
  }

  /** Calls and streams that have settled. */
  get settled(): number {
    const rejected = Object.values(this.rejected).reduce((sum, count) => sum + count, 0)
    return this.answered + this.streams + rejected + this.wrongCount
  }

  toString(): string {
    const rejected = Object.entries(this.rejected).map(([code, count]) => `${count.toLocaleString('en')} ${code}`)
    return [
      `${this.settled.toLocaleString('en')} settled`,
      `${this.answered.toLocaleString('en')} answered`,
      `${this.streams.toLocaleString('en')} streams of ${this.items.toLocaleString('en')} items`,
      `${(this.bytes / 2 ** 30).toFixed(1)} GiB back`,
      ...rejected,
      `${this.kills.toLocaleString('en')} kills`,
      `${this.reloads} reloads`,
      `${this.wrongCount} wrong`,
    ].join(', ')
  }
}
