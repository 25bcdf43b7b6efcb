// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from 'node:fs'
import { load } from 'polyloop'

try {
  writeFileSync(new URL('x', import.meta.url), '')
} catch (error) {
  console.log(error.code)
}
for (const options of [{ placement: 'thread' }, { placement: 'process' }, { placement: 'process', shared: true }]) {
  const guest = await load(new URL('text.py', import.meta.url), { ...options, config: options })
  const all = await Promise.all([1, 2, 3].map(() => guest.shout('x'.repeat(40e6))))
  console.log(...all.map((text) => text.length))
  await guest.unload()
}
