// SPDX-License-Identifier: Apache-2.0
// `npm test` and its tiers: every suite of the tier, or those that are named: `npm test -- rust loom`.
import { closingLine } from '../common/counts.ts'
import { runSuites } from '../common/report.ts'
import { Mistake, readOrder } from './arguments.ts'
import { suitesOf } from './tiers.ts'

async function main(args: readonly string[]): Promise<boolean> {
  try {
    const order = readOrder(args)
    return await runSuites(suitesOf(order), order.suites)
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    console.log(error.message)
    console.log(closingLine({ passed: 0, failed: 1, skipped: 0 }))
    return false
  }
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
