// SPDX-License-Identifier: Apache-2.0
// Finds circles of imports between the files of a crate. The root of a crate is not looked at: it declares modules, and
// says which of their names are public.
import type { Source } from '../common/files.ts'

/** The folders of sources that are looked at. */
const crates: readonly string[] = [
  'crates/connection/src',
  'crates/guest-library/src',
  'crates/guest-process/src',
  'crates/ring/src',
  'crates/test-host/src',
  'guests/python/loader/src',
  'guests/rust/kit/src',
  'guests/rust/macros/src',
  'hosts/node/addon/src',
]

/** Which modules each module imports. */
type Graph = ReadonlyMap<string, ReadonlySet<string>>

const COMMENT = /\/\/.*$/gm
/** What tests import is no matter of the file beside them. */
const TESTS = /#\[cfg\(test\)\]\s*mod tests \{[\s\S]*$/
const USE = /\buse\s+([^;]+);/g
const PATH = /(?<!\$)\bcrate::([a-z_]\w*(?:::[a-z_]\w*)*)/g

/** The module that a file is, from the root of its crate: `''` for the root itself. */
function moduleOf(path: string, folder: string): string {
  const name = path.slice(folder.length + 1, -'.rs'.length).replace(/\/mod$/, '')
  return name === 'lib' || name === 'main' ? '' : name.replaceAll('/', '::')
}

/** The paths of a tree of imports: `a::{b, c::{d, e}}` are `a::b`, `a::c::d` and `a::c::e`. */
function expand(tree: string): string[] {
  const open = tree.indexOf('{')
  if (open < 0) return [tree.replace(/\s+as\s+\w+$/, '').trim()]
  const base = tree.slice(0, open).trim()
  const parts: string[] = []
  let depth = 0
  let start = open + 1
  const end = tree.lastIndexOf('}')
  for (let at = start; at <= end; at++) {
    const character = tree[at]
    if (character === '{') depth++
    else if (character === '}' && at < end) depth--
    if (at === end || (character === ',' && depth === 0)) {
      parts.push(tree.slice(start, at))
      start = at + 1
    }
  }
  return parts.filter((part) => part.trim() !== '').flatMap((part) => expand(base + part.trim()))
}

/** A path from the root of the crate; `undefined` for one into another crate. */
function absolute(path: string, module: string, known: ReadonlySet<string>): string | undefined {
  const [first = '', ...rest] = path.split('::')
  const within = module === '' ? [] : module.split('::')
  if (first === 'crate') return rest.join('::')
  if (first === 'self') return [...within, ...rest].join('::')
  if (first === 'super') return [...within.slice(0, -1), ...rest].join('::')
  const child = [...within, first].join('::')
  return known.has(child) ? [child, ...rest].join('::') : undefined
}

/** The module that a path names, or that has what it names. */
function owner(path: string, known: ReadonlySet<string>): string | undefined {
  const parts = path.split('::')
  for (let length = parts.length; length > 0; length--) {
    const candidate = parts.slice(0, length).join('::')
    if (known.has(candidate)) return candidate
  }
  return undefined
}

/** What the modules of a crate import of each other. */
function imports(files: readonly Source[], folder: string): Graph {
  const modules = new Map(files.map(({ path, text }) => [moduleOf(path, folder), text]))
  modules.delete('')
  const known = new Set(modules.keys())
  return new Map(
    [...modules].map(([module, text]) => {
      const code = text.replace(TESTS, '').replace(COMMENT, '')
      const used = [...code.matchAll(USE)].flatMap(([, tree = '']) => expand(tree))
      const named = [...code.matchAll(PATH)].map(([path]) => path)
      const paths = [...used, ...named].map((path) => absolute(path, module, known))
      const owners = paths.map((path) => (path === undefined ? undefined : owner(path, known)))
      return [module, new Set(owners.filter((other) => other !== undefined && other !== module))] as const
    }) as [string, Set<string>][],
  )
}

/** One circle of each knot, as the modules that it goes through. */
function circles(graph: Graph): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const way: string[] = []
  const visit = (module: string): void => {
    const at = way.indexOf(module)
    if (at >= 0) {
      const circle = way.slice(at)
      if (!circle.some((one) => found.flat().includes(one))) found.push(circle)
      return
    }
    if (done.has(module)) return
    way.push(module)
    for (const other of graph.get(module) ?? []) visit(other)
    way.pop()
    done.add(module)
  }
  for (const module of graph.keys()) visit(module)
  return found
}

/** Circles of imports between the files of each of these folders. */
export function checkRustCircles(files: readonly Source[], folders: readonly string[] = crates): string[] {
  return folders.flatMap((folder) => {
    const graph = imports(
      files.filter(({ path }) => path.startsWith(`${folder}/`) && path.endsWith('.rs')),
      folder,
    )
    if (![...graph.values()].some((others) => others.size > 0)) {
      return [`${folder}: no file imports another one: is the check blind?`]
    }
    return circles(graph).map((circle) => `${folder}: imports in a circle: ${[...circle, circle[0]].join(' -> ')}`)
  })
}
