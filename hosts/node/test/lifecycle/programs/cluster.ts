// SPDX-License-Identifier: Apache-2.0
// Workers of node:cluster: each has guests of its own, in both placements.
import cluster from 'node:cluster'
import { load } from 'polyloop'
import { tell } from './support.ts'

const locators = process.argv.slice(2)

if (cluster.isPrimary) {
  const workers = [1, 2].map(
    () =>
      new Promise((resolve) => {
        const worker = cluster.fork()
        let said: unknown
        worker.on('message', (message) => {
          said = message
          // It ends by itself once nobody listens to it.
          worker.disconnect()
        })
        worker.on('exit', (code) => resolve({ said, code }))
      }),
  )
  tell(await Promise.all(workers))
} else {
  const answers: string[] = []
  for (const locator of locators) {
    for (const placement of ['thread', 'process'] as const) {
      const guest = await load(locator, { placement, config: { placement } })
      const items: unknown[] = []
      for await (const item of guest.stream('count', [3])) items.push(item)
      answers.push(items.join(' '))
    }
  }
  process.send?.(answers)
}
