// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest'
import { parseOptions } from './options.ts'
import { OUTSTANDING, PACES, SIZES, STREAM_SIZES, schedule } from './schedule.ts'
import { ECHO_NAMES, IN_PLACE_NAMES, QUICK_NAMES, STREAM_NAMES, VARIANT_NAMES } from './variants/names.ts'

const field = { variants: VARIANT_NAMES, processors: 2 }
const cellsOf = (...args: string[]) => schedule(parseOptions(args, '/'), field)

describe('schedule', () => {
  it('measures every size with every number outstanding, for every variant, in every run', () => {
    const echo = cellsOf('--runs', '2').filter((cell) => cell.bench === 'echo' && cell.pin === null)
    expect(echo).toHaveLength(2 * SIZES.length * OUTSTANDING.length * ECHO_NAMES.length)
  })

  it('measures streams of every size of every variant that has them', () => {
    const streams = cellsOf('--runs', '2').filter((cell) => cell.bench === 'stream')
    expect(streams).toHaveLength(2 * STREAM_SIZES.length * STREAM_NAMES.length)
    expect(new Set(streams.map((cell) => cell.variant))).toEqual(new Set(STREAM_NAMES))
  })

  it('measures one instance and two, where there are processors for them', () => {
    const instances = (...args: string[]): number[] =>
      cellsOf(...args).flatMap((cell) => (cell.bench === 'instances' ? [cell.outstanding] : []))
    expect(instances('--runs', '1')).toEqual([1, 2])
    expect(instances('--runs', '1', '--cpu', '0')).toEqual([])
  })

  it('measures large requests in memory of alloc beside those that are copied', () => {
    const found = cellsOf('--runs', '1').filter((cell) => cell.bench === 'in-place')
    expect(found).toHaveLength(IN_PLACE_NAMES.length * 2 * 2)
    expect(found.every(({ bytes, pin }) => bytes > 4096 && pin === null)).toBe(true)
    expect(cellsOf('--quick').some((cell) => cell.bench === 'in-place')).toBe(false)
  })

  it('has time for three runs of what it measures quickly', () => {
    const cells = schedule(parseOptions(['--quick'], '/'), { variants: QUICK_NAMES, processors: 2 })
    expect(cells.filter(({ bench, variant }) => bench === 'echo' && variant === 'uds-c')).toHaveLength(3 * 2 * 2)
    // With a third of a second for a process to start and to end.
    const needed = cells.reduce((sum, { warmMs, measureMs }) => sum + warmMs + measureMs + 333, 0)
    expect(needed).toBeLessThan(PACES.quick.budgetMs)
  })

  it('alternates the variants', () => {
    const echo = cellsOf().filter((cell) => cell.bench === 'echo')
    expect(new Set(echo.slice(0, ECHO_NAMES.length).map((cell) => cell.variant)).size).toBe(ECHO_NAMES.length)
  })

  it('adds the cells on one processor that the goals need', () => {
    const pinned = cellsOf('--runs', '1').filter((cell) => cell.pin === 0)
    expect(new Set(pinned.map((cell) => cell.variant))).toEqual(new Set(['polyloop-rust', 'uds-c']))
    expect(pinned).toHaveLength(SIZES.length * 2 * 2)
  })

  it('pins everything where told to', () => {
    expect(cellsOf('--quick', '--cpu', '1').every((cell) => cell.pin === 1)).toBe(true)
  })

  it('asks for nothing of a variant that is not there', () => {
    const cells = schedule(parseOptions([], '/'), { variants: ['uds-c', 'koffi'], processors: 2 })
    expect(new Set(cells.map((cell) => cell.variant))).toEqual(new Set(['uds-c', 'koffi']))
  })
})
