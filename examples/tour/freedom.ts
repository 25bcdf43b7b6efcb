// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'
import { type Hello, python, rustGuest } from './guests.ts'
import { duration, figure, print, title } from './print.ts'
import { watch } from './ticks.ts'

interface Stubborn {
  backtrack(seconds: number): number
}

export async function freedom(): Promise<void> {
  title(4, "Not even Python's GIL holds up the loop")
  await using stubborn = await load<Stubborn>('python:examples/tour/stubborn.py', python)
  await using rust = await load<Hello>(rustGuest('hello'))
  let calls = 0
  let stuck = true
  const work = watch(stubborn.backtrack(0.7))
  const others = (async () => {
    for (; stuck; calls++) await rust.greet('Ada')
  })()
  const { result, ticks } = await work.finally(() => {
    stuck = false
  })
  await others
  print(
    `   A regular expression went astray in Python and kept the GIL for ${duration(result * 1000)} without a pause.`,
  )
  print(`   Meanwhile ${ticks},`)
  print(`   and the Rust guest answered ${figure(calls)} calls, one after another.`)
}
