// SPDX-License-Identifier: Apache-2.0
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Callers } from './callers.ts'
import type { Cell, Sample } from './cell.ts'
import { median } from './stats.ts'
import { fountainOpener } from './streams/open.ts'
import type { Echo, Tools } from './variants/echo.ts'
import { isEchoName, isStreamName, VARIANT_NAMES } from './variants/names.ts'
import { opener } from './variants/open.ts'

/** Measures one cell in this process, which should be a fresh one. */
export async function measure(cell: Cell, tools: Tools): Promise<Sample> {
  if (cell.bench === 'stream') return await measureStream(cell, tools)
  if (cell.bench === 'instances') return await measureInstances(cell, tools)
  const names = VARIANT_NAMES.filter(isEchoName).filter((name) => cell.variant.split('+').includes(name))
  const echoes: Echo[] = []
  try {
    for (const name of names) echoes.push(await (await opener(name))(tools, cell))
    return await measureEchoes(cell, echoes)
  } finally {
    for (const echo of echoes) await echo.close()
  }
}

/** Reads a stream for a while, and looks at every item's length. */
async function measureStream(cell: Cell, tools: Tools): Promise<Sample> {
  if (!isStreamName(cell.variant)) throw new Error(`no stream is called ${cell.variant}`)
  const fountain = await (await fountainOpener(cell.variant))(tools, cell)
  try {
    let [items, from, end] = [0, Number.POSITIVE_INFINITY, performance.now() + cell.warmMs]
    for await (const block of fountain.blocks()) {
      if (block.length !== cell.bytes) throw new Error(`an item has ${block.length} bytes instead of ${cell.bytes}`)
      if (++items % 64 !== 0 || performance.now() < end) continue
      if (from !== Number.POSITIVE_INFINITY) break
      ;[items, from, end] = [0, performance.now(), performance.now() + cell.measureMs]
    }
    return { perSecond: (items * 1000) / (performance.now() - from), loopDelayP99Ms: null }
  } finally {
    await fountain.close()
  }
}

async function measureInstances(cell: Cell, tools: Tools): Promise<Sample> {
  const { openInstances } = await import('./variants/polyloop.ts')
  const echo = await openInstances(tools, cell)
  try {
    const lane = async (end: number): Promise<number> => {
      let answered = 0
      for (; performance.now() < end; answered++) await echo.call(nothing)
      return answered
    }
    const lanes = async (ms: number): Promise<number> => {
      const [from, end] = [performance.now(), performance.now() + ms]
      // Two calls an instance: one waits in its ring while the other is computed, as under load.
      const answered = await Promise.all(Array.from({ length: 2 * cell.outstanding }, () => lane(end)))
      return (answered.reduce((sum, one) => sum + one, 0) * 1000) / (performance.now() - from)
    }
    await lanes(cell.warmMs)
    return { perSecond: await lanes(cell.measureMs), loopDelayP99Ms: null }
  } finally {
    await echo.close()
  }
}

const nothing = Buffer.alloc(0)

async function measureEchoes(cell: Cell, echoes: readonly Echo[]): Promise<Sample> {
  const [echo] = echoes
  if (echo === undefined) throw new Error(`no variant is called ${cell.variant}`)
  switch (cell.bench) {
    case 'echo':
    case 'in-place':
      return await measureCalls(cell, echo)
    case 'loop-health':
      return await measureTimer(cell, echo)
    case 'stream':
    case 'instances':
      throw new Error(`${cell.bench} is no echo`)
    case 'idle':
      return await measureIdle(cell, echoes)
  }
}

async function measureCalls(cell: Cell, echo: Echo): Promise<Sample> {
  const callers = new Callers(echo, cell.bytes, cell.outstanding, cell.bench === 'in-place' ? echo.alloc : undefined)
  await callers.run(cell.warmMs)
  // Its timer lives in the loop's own C++; with it calls are as fast as without, to within the noise.
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const { elapsed, answered } = await callers.run(cell.measureMs)
  delay.disable()
  await callers.stop()
  // It records the time between two fires, of which 1 ms is meant; no fire at all is the longest delay.
  const late = delay.count === 0 ? elapsed : Math.max(0, delay.percentile(99) / 1e6 - 1)
  return { perSecond: (answered * 1000) / elapsed, loopDelayP99Ms: late }
}

async function measureTimer(cell: Cell, echo: Echo): Promise<Sample> {
  const callers = new Callers(echo, cell.bytes, cell.outstanding)
  await callers.run(cell.warmMs)
  let fires = 0
  let last = performance.now()
  const late: number[] = []
  const timer = setInterval(() => {
    const now = performance.now()
    late.push(now - last - 1)
    last = now
    fires++
  }, 1)
  const { elapsed } = await callers.run(cell.measureMs)
  clearInterval(timer)
  await callers.stop()
  late.sort((a, b) => a - b)
  const p99 = late[Math.floor(late.length * 0.99)] ?? elapsed
  return { perSecond: (fires * 1000) / elapsed, loopDelayP99Ms: Math.max(0, p99) }
}

async function measureIdle(cell: Cell, echoes: readonly Echo[]): Promise<Sample> {
  for (const echo of echoes) {
    const callers = new Callers(echo, cell.bytes, Math.max(1, cell.outstanding))
    await callers.run(cell.warmMs)
    await callers.stop()
  }
  // What calls leave to do, such as a garbage collection, is not idling: hence a pause, and the median of three parts.
  await sleep(Math.min(500, cell.measureMs))
  const parts: number[] = []
  for (let part = 0; part < 3; part++) parts.push(await processorTime(cell.measureMs / 3))
  return { perSecond: median(parts), loopDelayP99Ms: null }
}

/** Milliseconds of processor time a second that this process uses while it waits. */
async function processorTime(waitMs: number): Promise<number> {
  const before = process.cpuUsage()
  const start = performance.now()
  await sleep(waitMs)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (performance.now() - start)
}
