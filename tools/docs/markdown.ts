// SPDX-License-Identifier: Apache-2.0
// As much of Markdown as the checks of documents need.

/** A fenced block of code. */
export interface Block {
  /** The first word of its info string. */
  readonly language: string
  /** The others. */
  readonly words: readonly string[]
  readonly text: string
  /** The line of its first line in the document, from 1. */
  readonly line: number
  /** Whether it stands in an HTML comment, which readers do not see. */
  readonly hidden: boolean
}

/** A line outside code and comments. */
export interface Line {
  readonly number: number
  readonly text: string
}

export interface Document {
  /** Relative to the root of the repository. */
  readonly path: string
  readonly blocks: readonly Block[]
  readonly lines: readonly Line[]
}

const FENCE = /^\s*(`{3,}|~{3,})(.*)$/

/** Reads a document. Throws if a block or a comment has no end. */
export function parseDocument(path: string, text: string): Document {
  const all = text.split('\n')
  const blocks: Block[] = []
  const lines: Line[] = []
  let hidden = false
  for (let index = 0; index < all.length; index++) {
    const line = all[index] ?? ''
    const [, fence, info = ''] = FENCE.exec(line) ?? []
    if (fence !== undefined) {
      const end = all.findIndex((other, at) => at > index && other.trim() === fence)
      if (end < 0) throw new Error(`${path}:${index + 1}: the block has no end`)
      blocks.push(toBlock(info, all.slice(index + 1, end), index + 2, hidden))
      index = end
      continue
    }
    const visible: string = outside(line, hidden)
    if (visible.trim() !== '' || line === '') lines.push({ number: index + 1, text: visible })
    hidden = stays(line, hidden)
  }
  if (hidden) throw new Error(`${path}: a comment has no end`)
  return { path, blocks, lines }
}

function toBlock(info: string, lines: readonly string[], line: number, hidden: boolean): Block {
  const [language = '', ...words] = info.split(/[\s,]+/).filter((word) => word !== '')
  return { language, words, text: lines.join('\n'), line, hidden }
}

/** Whether a line that begins inside a comment, or not, ends inside one. */
function stays(line: string, hidden: boolean): boolean {
  const last = Math.max(line.lastIndexOf('<!--'), line.lastIndexOf('-->'))
  return last < 0 ? hidden : line.startsWith('<!--', last)
}

/** What of a line is in no comment. */
function outside(line: string, hidden: boolean): string {
  const opened = hidden ? `<!--${line}` : line
  return opened.replaceAll(/<!--.*?(?:-->|$)/g, '')
}

/** A link or a picture. */
export interface Link {
  readonly target: string
  readonly line: number
}

/** The links of a document, in order. */
export function linksOf({ lines }: Document): Link[] {
  // Links may be broken over lines, so the lines are one text, in which each knows where it began.
  const starts: { at: number; number: number }[] = []
  let text = ''
  for (const { number, text: line } of lines) {
    starts.push({ at: text.length, number })
    text += `${line.replaceAll(/`[^`]*`/g, (code) => ' '.repeat(code.length))}\n`
  }
  return [...text.matchAll(/\]\(([^()\s]+)\)/g)].map(({ 1: target = '', index }) => {
    return { target, line: starts.filter(({ at }) => at <= index).at(-1)?.number ?? 0 }
  })
}

/** What stands between backticks, outside of blocks. */
export function codeSpans({ lines }: Document): Line[] {
  return lines.flatMap(({ number, text }) =>
    [...text.matchAll(/(`+)(.+?)\1(?!`)/g)].map(({ 2: code = '' }) => ({ number, text: code })),
  )
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf({ lines }: Document): Set<string> {
  const anchors = new Set<string>()
  for (const { text } of lines) {
    const [, heading] = /^#{1,6}\s+(.*)$/.exec(text) ?? []
    if (heading === undefined) continue
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')
    let anchor = slug
    for (let copy = 1; anchors.has(anchor); copy++) anchor = `${slug}-${copy}`
    anchors.add(anchor)
  }
  return anchors
}
