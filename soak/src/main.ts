// SPDX-License-Identifier: Apache-2.0
// npm run soak -- [--calls N] [--kills N] [--reloads N] [--faults N] [--minutes N] [--seed N]
import { parseArgs } from 'node:util'
import { chaos as faultsOf } from './chaos.ts'
import { kinds } from './chaos-orders.ts'
import { homes, libraries } from './libraries.ts'
import { type Outcome, type Plan, soak } from './soak.ts'

const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '100000000' },
    kills: { type: 'string', default: '2000' },
    reloads: { type: 'string', default: '200' },
    faults: { type: 'string', default: '5000' },
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
})
const [calls, kills, reloads, faults, minutes, seed] = [
  values.calls,
  values.kills,
  values.reloads,
  values.faults,
  values.minutes,
  values.seed,
].map(Number) as [number, number, number, number, number, number]

/** Runs a part, and says how it went. */
async function part(title: string, plan: Plan): Promise<boolean> {
  console.log(`${title}; seed ${plan.seed}`)
  const began = performance.now()
  const outcome = await soak(plan, (tally) => console.log(`  ${tally}`))
  console.log(`  ${outcome.tally}`)
  const twice = `${outcome.duplicates} answers given twice`
  console.log(`  in ${Math.round((performance.now() - began) / 1000)} s; ${twice}, ${left(outcome)}`)
  for (const wrong of outcome.tally.wrong) console.log(`  WRONG: ${wrong}`)
  return outcome.tally.wrongCount === 0 && outcome.duplicates === 0 && isClean(outcome)
}

function isClean({ before, after }: Pick<Outcome, 'before' | 'after'>): boolean {
  return after.processes === 0 && after.memfds === 0 && after.descriptors <= before.descriptors
}

function left({ before, after }: Pick<Outcome, 'before' | 'after'>): string {
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
  return [
    `left: ${after.processes} processes, ${after.memfds} memfds`,
    `${after.descriptors} descriptors (${before.descriptors} before)`,
    `${mib(after.rss)} MiB (${mib(before.rss)} before)`,
  ].join(', ')
}

/** Faults of all kinds, and how they went. */
async function faulty(): Promise<boolean> {
  console.log(`${faults} faults of guests, brokers and hosts at the same time; seed ${seed}`)
  const report = await faultsOf({ faults, seed, kinds }, (line) => console.log(`  ${line}`))
  console.log(`  ${JSON.stringify({ ...report, wrong: report.wrong.length })}`)
  for (const wrong of report.wrong) console.log(`  WRONG: ${wrong}`)
  return report.wrong.length === 0
}

/** What guests of real programs do, wherever they live, and how it went. */
async function real(): Promise<boolean> {
  let isGood = true
  for (const [name, home] of Object.entries(homes)) {
    console.log(`numpy, TLS, programs, forks and prints for ${minutes} minutes, ${name}; seed ${seed}`)
    const { answered, lines, wrong, before, after } = await libraries(home, minutes * 60_000, seed)
    console.log(`  ${JSON.stringify(answered)}, ${lines[1]} of ${lines[0]} lines; ${left({ before, after })}`)
    for (const what of wrong.slice(0, 20)) console.log(`  WRONG: ${what}`)
    isGood &&= wrong.length === 0 && lines[0] === lines[1] && isClean({ before, after })
  }
  return isGood
}

const streams = 50
const kill: Plan = {
  calls: 0,
  kills,
  reloads: 0,
  outstanding: 64,
  mix: { longest: 200_000, givesUp: 0, streams },
  seed,
}
const long: Plan = { ...kill, calls, kills: 0, reloads, mix: { longest: 20_000, givesUp: 200, streams: 2000 } }

const good = [
  minutes === 0 || (await real()),
  faults === 0 || (await faulty()),
  kills === 0 || (await part(`${kills} kills under load of 64 outstanding, with streams open`, kill)),
  calls === 0 || (await part(`${calls.toLocaleString('en')} calls with cancellations, deadlines and reloads`, long)),
]
process.exitCode = good.every(Boolean) ? 0 : 1
