// SPDX-License-Identifier: Apache-2.0

import { describeMachine, type Machine } from '../machine.ts'
import { OUTSTANDING, SIZES } from '../schedule.ts'
import type { Row } from '../stats.ts'
import { ECHO_NAMES, VARIANT_TITLES, type VariantName } from '../variants/names.ts'
import { sizeTitle } from './goals.ts'
import { significant } from './report.ts'

const WIDTH = 880
const LABEL_WIDTH = 184
const PANEL_GAP = 22
const PANEL_WIDTH = (WIDTH - LABEL_WIDTH - 16) / OUTSTANDING.length - PANEL_GAP
const ROW_HEIGHT = 16
const GROUP_HEAD = 30
const TOP = 84
const GROUP_HEIGHT = GROUP_HEAD + ROW_HEIGHT * ECHO_NAMES.length
const BOTTOM = TOP + GROUP_HEIGHT * SIZES.length
const HEIGHT = BOTTOM + 44

// A picture in a page does not know the page's colours, only the reader's preference: it brings its own background.
const STYLE = `
  text { font: 11px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif; fill: #1f2328 }
  .page { fill: #ffffff } .title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 }
  .muted { fill: #59636e } .grid { stroke: #d8dee4 } .range { stroke: #1f2328; stroke-opacity: .55 }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
  .rival { fill: #b1bac4 } .rust { fill: #d4622a } .python { fill: #3576c4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117 } .muted { fill: #9198a1 } .grid { stroke: #30363d }
    .value { stroke: #0d1117 }
    .range { stroke: #e6edf3 } .rival { fill: #57606a } .rust { fill: #e5773f } .python { fill: #4a8fe0 }
  }`

/** Maps calls a second to pixels from the left edge of a panel. */
interface Scale {
  decades: number[]
  toX(perSecond: number): number
}

/** Draws calls a second of every variant, size and number outstanding, as an SVG document. */
export function chart(rows: readonly Row[], machine: Machine): string {
  const echo = chartedRows(rows)
  const scale = logScale(echo)
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`
  const parts = [
    head,
    `<title>${escapeXml('Echo: thousand calls a second, Polyloop and what one would use instead')}</title>`,
    `<style>${STYLE}\n</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="6"/>`,
    ...heading(),
    ...OUTSTANDING.flatMap((outstanding, index) => panel(echo, outstanding, panelLeft(index), scale)),
    ...SIZES.flatMap(groupLabels),
    text(
      16,
      HEIGHT - 14,
      `${describeMachine(machine)}. Medians; the thin lines are the range of ${runsOf(echo)}.`,
      'muted',
    ),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

/** The unpinned rows, or those on one processor where there are no others. */
function chartedRows(rows: readonly Row[]): Row[] {
  const echo = rows.filter((row) => row.bench === 'echo')
  const most = Math.max(...echo.map((row) => row.cpus))
  return echo.filter((row) => row.cpus === most)
}

function logScale(rows: readonly Row[]): Scale {
  const least = Math.min(...rows.map((row) => row.perSecond.min), 10_000)
  const most = Math.max(...rows.map((row) => row.perSecond.max), 100_000)
  const first = Math.floor(Math.log10(Math.max(1, least)))
  // Half a decade to spare, for the figure beside the longest bar.
  const last = Math.log10(most) + 0.6
  const decades = Array.from({ length: Math.floor(last) - first + 1 }, (_, index) => first + index)
  const toX = (value: number): number => ((Math.log10(Math.max(1, value)) - first) / (last - first)) * PANEL_WIDTH
  return { decades, toX }
}

function heading(): string[] {
  return [
    text(16, 26, 'Echo: thousand calls a second (longer is better; logarithmic scale)', 'title'),
    ...OUTSTANDING.map((outstanding, index) => {
      const title = outstanding === 1 ? 'one call at a time' : `${outstanding.toLocaleString('en')} outstanding`
      return text(panelLeft(index), 54, title, 'head')
    }),
  ]
}

function panelLeft(index: number): number {
  return LABEL_WIDTH + 16 + index * (PANEL_WIDTH + PANEL_GAP)
}

function panel(rows: readonly Row[], outstanding: number, left: number, scale: Scale): string[] {
  const lines = scale.decades.flatMap((decade) => {
    const x = Number(fixed(left + scale.toX(10 ** decade)))
    const label =
      x > left + PANEL_WIDTH - 16
        ? []
        : `<text class="muted" x="${x}" y="${TOP - 10}" text-anchor="middle">${decadeTitle(decade)}</text>`
    return [`<path class="grid" d="M${x} ${TOP - 4}V${BOTTOM}"/>`].concat(label)
  })
  const bars = SIZES.flatMap((bytes, group) =>
    ECHO_NAMES.flatMap((variant, index) => {
      const row = rows.find(
        (each) => each.variant === variant && each.bytes === bytes && each.outstanding === outstanding,
      )
      const y = rowTop(group, index)
      return row === undefined
        ? [text(left + 4, y + 11, 'not measured', 'muted value')]
        : bar(row, variant, left, y, scale)
    }),
  )
  return [...lines, ...bars]
}

function bar(row: Row, variant: VariantName, left: number, y: number, scale: Scale): string[] {
  const { median, min, max } = row.perSecond
  const width = fixed(scale.toX(median))
  const [from, to] = [left + scale.toX(min), left + scale.toX(max)]
  const middle = y + 6.5
  return [
    `<rect class="${barClass(variant)}" x="${left}" y="${y + 1}" width="${width}" height="11" rx="1.5"/>`,
    `<path class="range" d="M${fixed(from)} ${middle}H${fixed(to)}"/>`,
    text(Math.max(left + Number(width), to) + 4, y + 11, significant(median / 1000), 'value'),
  ]
}

function groupLabels(bytes: number, group: number): string[] {
  return [
    text(16, rowTop(group, 0) - 6, sizeTitle(bytes), 'head'),
    ...ECHO_NAMES.map((variant, index) => {
      const style = barClass(variant) === 'rival' ? 'muted' : ''
      return text(16, rowTop(group, index) + 11, VARIANT_TITLES[variant], style)
    }),
  ]
}

function rowTop(group: number, index: number): number {
  return TOP + group * GROUP_HEIGHT + GROUP_HEAD + index * ROW_HEIGHT - 6
}

function barClass(variant: VariantName): 'rust' | 'python' | 'rival' {
  if (variant.startsWith('polyloop-rust')) return 'rust'
  return variant.startsWith('polyloop-python') ? 'python' : 'rival'
}

function decadeTitle(decade: number): string {
  return (10 ** (decade - 3)).toLocaleString('en', { maximumFractionDigits: 3 })
}

function runsOf(rows: readonly Row[]): string {
  const runs = rows.map((row) => row.runs)
  const [least, most] = [Math.min(...runs), Math.max(...runs)]
  return least === most ? `${least} run${least === 1 ? '' : 's'}` : `${least} to ${most} runs`
}

function text(x: number, y: number, content: string, style = ''): string {
  return `<text${style === '' ? '' : ` class="${style}"`} x="${fixed(x)}" y="${y}">${escapeXml(content)}</text>`
}

function fixed(value: number): string {
  return String(Number(value.toFixed(1)))
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
