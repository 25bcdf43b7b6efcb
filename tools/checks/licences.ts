// SPDX-License-Identifier: Apache-2.0
// What is linked into a program that others ship must have a licence that lets them.

const ALLOWED = new Set([
  'Apache-2.0',
  'Apache-2.0 WITH LLVM-exception',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'Unicode-3.0',
  'Unlicense',
  'Zlib',
])

/** Whether an SPDX expression without nested parentheses leaves a choice that is allowed. */
function allowed(expression: string): boolean {
  const parts = expression.replaceAll('/', ' OR ').split(/\)?\s+AND\s+\(?/)
  return parts.every((part) =>
    part.split(/\s+OR\s+/).some((licence) => ALLOWED.has(licence.replace(/[()]/g, '').trim())),
  )
}

/** Crates whose licence is not among the allowed ones, in lines `crate version|licence` as `cargo tree --format '{p}|{l}'` prints them. */
export function checkLicences(tree: string): string[] {
  const crates = [...tree.matchAll(/^(.+)\|(.*?)(?: \(\*\))?$/gm)]
  if (crates.length === 0) return ['cargo tree names no crate']
  const problems = crates.filter(([, , licence = '']) => !allowed(licence))
  return [...new Set(problems.map(([, crate, licence]) => `${crate}: licence ${licence || 'unknown'}`))]
}
