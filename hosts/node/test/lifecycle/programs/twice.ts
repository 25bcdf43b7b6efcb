// SPDX-License-Identifier: Apache-2.0
// Loads guests by copies of the package that have one add-on: what test runners and reloaders of modules make of it.
// Prints what each answers, and exits by itself.
import type * as Polyloop from '../../../src/index.ts'

interface Adder {
  add(a: number, b: number): number
}

const [library = '', file = '', ...copies] = process.argv.slice(2)
const packages = await Promise.all(copies.map((copy) => import(copy) as Promise<typeof Polyloop>))

/** With guests on threads, in a process and in one that both share, all at the same time. */
async function everyPlacement({ load }: typeof Polyloop, name: string): Promise<number[]> {
  const guests = await Promise.all([
    load<Adder>(library, { placement: 'thread' }),
    load<Adder>(file, { placement: 'thread', config: { name } }),
    load<Adder>(file, { placement: 'process', config: { name, own: true } }),
    load<Adder>(file, { placement: 'process', shared: `twice-${process.pid}` }),
  ])
  const answers = await Promise.all(guests.map((guest, index) => guest.add(index, 100)))
  // Those on threads stay, and hold nobody up.
  for (const guest of guests.slice(1)) await guest.unload()
  return answers
}

const answers = await Promise.all(packages.map((each, index) => everyPlacement(each, String(index))))
// One that was left is listened to again.
const again = await packages[0]?.load<Adder>(file, { placement: 'process' })
answers.push([(await again?.add(1, 1)) as number])
console.log(JSON.stringify(answers))
