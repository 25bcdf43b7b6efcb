// SPDX-License-Identifier: Apache-2.0
import { load, PolyloopError } from 'polyloop'
import { python } from './guests.ts'
import { duration, print, title } from './print.ts'

interface Fragile {
  measure(text: string): number
}

export async function contained(): Promise<void> {
  title(5, 'What crashes in a process of its own stays there', '04-own-process')
  const options = { ...python, log: () => {} }
  await using fragile = await load<Fragile>('python:examples/04-own-process/fragile.py', options)
  print(`   await fragile.measure('a text')    ${await fragile.measure('a text')}`)
  const died = await fragile.measure('').catch((error: PolyloopError) => error)
  if (!(died instanceof PolyloopError)) throw new Error('the guest did not crash')
  print(`   await fragile.measure('')          ${died.code}: ${died.exit?.signal}`)
  const began = performance.now()
  const answer = await fragile.measure('the same')
  print(
    `   await fragile.measure('the same')  ${answer}, by a new process, ${duration(performance.now() - began)} later`,
  )
}
