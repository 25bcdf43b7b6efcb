// SPDX-License-Identifier: Apache-2.0
// The documents of the repository.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec, root } from '../common/exec.ts'
import { type Examples, examplesOf } from './examples.ts'
import { type Document, parseDocument } from './markdown.ts'

/** All of them. */
export async function readDocuments(): Promise<Document[]> {
  const { stdout } = await exec('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'])
  const paths = stdout.split('\n').filter((path) => path !== '' && existsSync(join(root, path)))
  return paths.map((path) => parseDocument(path, readFileSync(join(root, path), 'utf8')))
}

/** The examples of those that readers learn from. */
export function examplesOfAll(documents: readonly Document[]): Examples[] {
  const folders = String.raw`benchmark|examples|examples\/.*|guests\/[^/]*`
  const written = new RegExp(String.raw`^(?:docs\/.*\.md|(?:(?:${folders})\/)?README\.md)$`)
  return documents.filter(({ path }) => written.test(path)).map(examplesOf)
}
