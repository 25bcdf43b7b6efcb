// SPDX-License-Identifier: Apache-2.0
// Prints what guests answer, or why there are none.
import { load } from 'polyloop'

async function answer(placement) {
  const guest = await load(process.env.GUEST, { placement })
  console.log(placement, await guest.shout('a'))
  await guest.unload()
}
async function main() {
  await answer('thread')
  await answer('process')
}
main().catch((error) => console.log(error.code, error.message))
