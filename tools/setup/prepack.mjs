// SPDX-License-Identifier: Apache-2.0
// Runs before npm packs hosts/node: refuses a tree that is not built, and adds what lies at the root of the repository.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nativeFiles } from './native.mjs'
import { missing, orphans } from './outputs.mjs'
import { root } from './shell.mjs'

const host = join(root, 'hosts', 'node')
const { version, repository } = JSON.parse(readFileSync(join(host, 'package.json'), 'utf8'))

function problems() {
  const absent = nativeFiles.map((name) => join(host, 'native', name)).filter((path) => !existsSync(path))
  const cargo = readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/^version = "(.+)"$/m)?.[1]
  return [
    ...[...missing(), ...absent].map((path) => `${path} is missing`),
    ...orphans().map((path) => `${path} is made by no source`),
    ...(cargo === version ? [] : [`package.json says version ${version}, and Cargo.toml ${cargo}`]),
  ]
}

/** Links of the README lead into the repository, which is not packed. */
function readme() {
  const web = `${repository.url.replace(/^git\+|\.git$/g, '')}/`
  return readFileSync(join(root, 'README.md'), 'utf8').replace(/\]\((?!https?:|#)([^)]+)\)/g, (_, to) => {
    const kind = /\.(svg|png)$/.test(to) ? 'raw' : 'blob'
    return `](${web}${kind}/v${version}/${to})`
  })
}

/** What is the same is left alone: another may be packing. */
function write(name, text) {
  const path = join(host, name)
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text)
}

const found = problems()
if (found.length > 0) {
  console.error(`this tree cannot be packed: run 'npm run build' at its root\n${found.join('\n')}`)
  process.exitCode = 1
} else {
  write('README.md', readme())
  write('LICENSE', readFileSync(join(root, 'LICENSE'), 'utf8'))
}
