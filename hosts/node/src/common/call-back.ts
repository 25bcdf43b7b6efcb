// SPDX-License-Identifier: Apache-2.0

/** Calls a function of the caller's. What it throws is an uncaught exception of its own: what calls it goes on. */
export function callBack(run: () => void): void {
  try {
    run()
  } catch (error) {
    process.nextTick(() => {
      throw error
    })
  }
}
