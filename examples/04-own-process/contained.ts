// SPDX-License-Identifier: Apache-2.0
import { load, PolyloopError } from 'polyloop'

interface Fragile {
  measure(text: string): number
}

await using fragile = await load<Fragile>('python:examples/04-own-process/fragile.py')

console.log('a text has', await fragile.measure('a text'), 'bytes')
try {
  await fragile.measure('')
} catch (error) {
  if (!(error instanceof PolyloopError)) throw error
  console.log(`${error.code}: ${error.exit?.signal}`)
}
console.log('the next process says', await fragile.measure('the same'), 'after', fragile.stats().restarts, 'restart')
