// SPDX-License-Identifier: Apache-2.0
// Tells of its guest, and is done with it when it is asked to end.
import { load } from 'polyloop'

const shared = process.env.SHARED === 'true'
const guest = await load(process.env.GUEST, {
  placement: 'process',
  shared,
  onEvent: ({ type, pid }) => console.log(type, pid),
})
console.log('answered', await guest.shout('a'))
process.send?.('ready')
setInterval(() => {}, 1000)
process.once('SIGINT', async () => {
  await guest.unload()
  console.log('unloaded')
  process.exit()
})
