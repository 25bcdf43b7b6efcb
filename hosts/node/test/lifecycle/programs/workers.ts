// SPDX-License-Identifier: Apache-2.0
// Workers with runtimes of their own, and how they end. The second argument is the guest's locator.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { ownGuest, pythonGuest, rustGuest } from '../paths.ts'
import { collect, flood, load, mapped, play, rss, sleep, tell, threads, until } from './support.ts'
import type { Job, Said } from './worker.ts'

const locator = process.argv[3] ?? ''
const request = Buffer.alloc(512, 'x')

interface Running {
  readonly worker: Worker
  /** Its first message: it is loaded, and its calls are in flight. */
  readonly ready: Promise<Said>
  /** How it ended: its exit code, or the message of its error. */
  readonly ended: Promise<number | string>
}

function start(job: Job): Running {
  const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: job })
  const ready = new Promise<Said>((resolve) => worker.once('message', resolve))
  const ended = new Promise<number | string>((resolve) => {
    worker.once('error', (error: Error) => resolve(error.message))
    worker.once('exit', resolve)
  })
  return { worker, ready, ended }
}

/** Keeps a guest of the main thread busy meanwhile; returns how many calls it answered. */
async function busyMain(): Promise<() => Promise<number>> {
  const guest = await load(rustGuest, { config: { main: true } })
  let over = false
  let answered = 0
  const lanes = Array.from({ length: 8 }, async () => {
    while (!over) {
      await guest.send(request)
      answered++
      await sleep(1)
    }
  })
  return async () => {
    over = true
    await Promise.all(lanes)
    return answered
  }
}

/** One worker after the other; what they leave behind, measured after some of them. */
async function sequence(job: Job, count: number, end: (running: Running) => Promise<unknown>): Promise<unknown> {
  const warm = count / 5
  const stop = await busyMain()
  let before = { threads: 0, mapped: 0, rss: 0 }
  // Guest threads finish what they are at on their own time.
  const measure = async (most: number): Promise<typeof before> => {
    await sleep(200)
    await until(() => threads() <= most)
    await collect()
    return { threads: threads(), mapped: mapped(), rss: rss() }
  }
  const codes = new Set<unknown>()
  for (let number = 0; number < count + warm; number++) {
    if (number === warm) {
      before = await measure(Number.POSITIVE_INFINITY)
    }
    const running = start(job)
    await running.ready
    codes.add(await end(running))
  }
  const after = await measure(before.threads)
  const mainCalls = await stop()
  const grown = { mapped: after.mapped - before.mapped, rss: after.rss - before.rss }
  return { codes: [...codes], mainAnswers: mainCalls > 0, ...grown }
}

await play({
  own: async () => {
    const workers = [1, 2, 3, 4].map((number) => start({ scenario: 'own', locator: ownGuest, config: number }))
    const guest = await load<{ count(): number; config(): unknown }>(ownGuest, { config: 0 })
    await flood(100, 8, () => guest.count())
    const said = await Promise.all(workers.map(({ ready }) => ready))
    const main = { config: await guest.config(), count: await guest.count(), calls: guest.stats().calls }
    tell({ said, main, codes: await Promise.all(workers.map(({ ended }) => ended)) })
  },
  ends: async () => {
    const stop = await busyMain()
    const jobs = ['natural', 'exits', 'throws', 'waits'] as const
    const ends: Record<string, unknown> = {}
    for (const scenario of jobs) {
      const running = start({ scenario, locator })
      ends[scenario] = await running.ended
    }
    await stop()
    tell(ends)
  },
  terminate: async () => {
    const order: string[] = []
    const guest = await load(rustGuest, { config: { main: true } })
    const scenario = process.argv[4] as Job['scenario']
    // A second one could not load while the first holds the GIL.
    const workers = Array.from({ length: scenario === 'busy' ? 1 : 2 }, () => start({ scenario, locator }))
    await Promise.all(workers.map(({ ready }) => ready))
    await sleep(20)
    await Promise.all(workers.map(({ worker }) => worker.terminate()))
    order.push('terminated')
    await guest.send(request)
    order.push('answered')
    tell(order)
  },
  sequence: async () => {
    const job: Job = { scenario: 'in-flight', locator }
    const ends = [
      async ({ worker }: Running) => worker.terminate(),
      async ({ worker, ended }: Running) => {
        worker.postMessage('exit')
        return ended
      },
    ]
    let number = 0
    tell(
      await sequence(job, Number(process.argv[4]), (running) =>
        (ends[number++ % ends.length] as (of: Running) => Promise<unknown>)(running),
      ),
    )
  },
  'exit-of-the-process': async () => {
    const workers = [rustGuest, pythonGuest].map((of) => start({ scenario: 'never', locator: of }))
    await Promise.all(workers.map(({ ready }) => ready))
    process.exit(3)
  },
  'end-of-the-process': async () => {
    const { worker, ready } = start({ scenario: 'never', locator })
    await ready
    worker.unref()
    tell('left')
  },
  'terminate-in-load': async () => {
    const codes: unknown[] = []
    // An interpreter is asked and started first.
    const step = locator === pythonGuest ? 15 : 1
    for (let round = 0; round < 20; round++) {
      const { worker } = start({ scenario: 'loads', locator })
      await once(worker, 'online')
      await sleep(round * step)
      codes.push(await worker.terminate())
    }
    tell(codes.length)
  },
})
