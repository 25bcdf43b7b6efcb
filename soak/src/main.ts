// SPDX-License-Identifier: Apache-2.0
// npm run soak -- [--calls N] [--kills N] [--reloads N] [--seed N]
import { parseArgs } from 'node:util'
import { type Outcome, type Plan, soak } from './soak.ts'

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '100000000' },
    kills: { type: 'string', default: '2000' },
    reloads: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const [calls, kills, reloads, seed] = [values.calls, values.kills, values.reloads, values.seed].map(Number) as [
  number,
  number,
  number,
  number,
]

/** Runs a part, and says how it went. */
async function part(title: string, plan: Plan): Promise<boolean> {
  console.log(`${title}; seed ${plan.seed}`)
  const began = performance.now()
  const outcome = await soak(plan, (tally) => console.log(`  ${tally}`))
  console.log(`  ${outcome.tally}`)
  console.log(`  in ${Math.round((performance.now() - began) / 1000)} s; ${left(outcome)}`)
  for (const wrong of outcome.tally.wrong) console.log(`  WRONG: ${wrong}`)
  return outcome.tally.wrongCount === 0 && outcome.duplicates === 0 && isClean(outcome)
}

function isClean({ before, after }: Outcome): boolean {
  return after.processes === 0 && after.memfds === 0 && after.descriptors <= before.descriptors
}

function left({ before, after, duplicates }: Outcome): string {
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
  return [
    `${duplicates} answers given twice`,
    `left: ${after.processes} processes, ${after.memfds} memfds`,
    `${after.descriptors} descriptors (${before.descriptors} before)`,
    `${mib(after.rss)} MiB (${mib(before.rss)} before)`,
  ].join(', ')
}

const streams = 50
const chaos: Plan = {
  calls: 0,
  kills,
  reloads: 0,
  outstanding: 64,
  mix: { longest: 200_000, givesUp: 0, streams },
  seed,
}
const long: Plan = { ...chaos, calls, kills: 0, reloads, mix: { longest: 20_000, givesUp: 200, streams: 2000 } }

const good = [
  kills === 0 || (await part(`${kills} kills under load of 64 outstanding, with streams open`, chaos)),
  calls === 0 || (await part(`${calls.toLocaleString('en')} calls with cancellations, deadlines and reloads`, long)),
]
process.exitCode = good.every(Boolean) ? 0 : 1
