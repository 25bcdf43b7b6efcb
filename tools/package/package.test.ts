// SPDX-License-Identifier: Apache-2.0
// The tarball that npm gets, and a project that installs it.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { exec, root } from '../common/exec.ts'
import { sources } from '../common/files.ts'
import { must, Project } from './tarball.ts'

let project: Project
beforeAll(async () => {
  project = await Project.make()
})
afterAll(() => rmSync(project.folder, { recursive: true, force: true }))

/** Of the projects; nothing here imports it. */
const msgpack = ['polyloop', 'msgpack'].join('/')

const installed = (...names: string[]): string => project.at('node_modules', 'polyloop', ...names)

/** The native files, but for those in Python. */
const NATIVE = ['libpolyloop_guest_process.so', 'libpolyloop_python.so', 'polyloop-guest-process', 'polyloop.node']

/** Programs in Python that the host runs, and what child processes of a guest import. */
const PYTHON = ['python/polyloop/__init__.py', 'python/polyloop/_call.py', 'python_probe.py', 'python_process.py']

describe('the tarball', () => {
  test('holds what was built, the sources that its maps lead to, a README and the licence, and nothing else', () => {
    const names = sources('hosts/node/src', ['.ts'])
      .map(({ path }) => path.slice('hosts/node/src/'.length, -'.ts'.length))
      .filter((name) => !/\.test(-d)?$/.test(name))
    expect(names.length).toBeGreaterThan(50)
    const built = ['.js', '.js.map', '.d.ts', '.d.ts.map']
    expect(project.packed.files).toEqual(
      [
        ...names.flatMap((name) => [`src/${name}.ts`, ...built.map((extension) => `dist/${name}${extension}`)]),
        ...[...NATIVE, ...PYTHON].map((name) => `native/${name}`),
        'LICENSE',
        'README.md',
        'package.json',
      ].sort(),
    )
  })

  test('has no map that leads nowhere', () => {
    const maps = project.packed.files.filter((name) => name.endsWith('.map'))
    const targets = maps.flatMap((map) => {
      const { sources, sourceRoot = '' } = JSON.parse(readFileSync(installed(map), 'utf8')) as Map
      return sources.map((source) => posix.join(posix.dirname(map), sourceRoot, source))
    })
    expect(targets.length).toBeGreaterThanOrEqual(maps.length)
    expect(targets.filter((target) => !project.packed.files.includes(target))).toEqual([])
  })

  test('has links in its README that lead out of it', () => {
    const links = [...readFileSync(installed('README.md'), 'utf8').matchAll(/\]\(([^)]+)\)/g)].map(([, to]) => to)
    expect(links.length).toBeGreaterThan(10)
    expect(links.filter((to) => !/^(https:\/\/|#)/.test(to ?? ''))).toEqual([])
  })

  test.each(NATIVE)('has %s without debug information, which lies apart for who debugs the tree', async (name) => {
    const sections = (file: string) => must('readelf', ['--wide', '--sections', file], root)
    expect(await sections(installed('native', name))).not.toMatch(/ \.(debug_(info|line|str)|symtab)/)
    expect(await sections(installed('native', name))).toContain(' .gnu_debuglink')
    expect(await sections(join(root, 'hosts/node/native/.debug', `${name}.debug`))).toContain(' .debug_line')
  })

  test('asks for no newer glibc than the documents and the errors say', async () => {
    const said = await Promise.all(
      NATIVE.map((name) => must('readelf', ['--wide', '--version-info', installed('native', name)], root)),
    )
    const wanted = said.flatMap((text) => [...text.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor)))
    const floor = Number(/GLIBC = '2\.(\d+)'/.exec(readFileSync(installed('src/native/platform.ts'), 'utf8'))?.[1])
    expect(wanted.length).toBeGreaterThan(10)
    // What is built on an older system asks for less.
    expect(Math.max(...wanted)).toBeLessThanOrEqual(floor)
    expect(readFileSync(join(root, 'docs/reference/limits.md'), 'utf8')).toContain(`glibc 2.${floor} or newer`)
  })

  test('says where it can be installed', () => {
    const { os, cpu, libc, scripts } = JSON.parse(readFileSync(installed('package.json'), 'utf8')) as Manifest
    expect({ os, cpu, libc }).toEqual({ os: ['linux'], cpu: ['x64'], libc: ['glibc'] })
    // npm blocks them, and nothing here needs them.
    expect(Object.keys(scripts)).toEqual(['prepack'])
  })
})

interface Map {
  readonly sources: string[]
  readonly sourceRoot?: string
}

interface Manifest {
  readonly os: string[]
  readonly cpu: string[]
  readonly libc: string[]
  readonly scripts: Record<string, string>
}

test('a tree that is not built is not packed', async () => {
  const tree = mkdtempSync(join(tmpdir(), 'polyloop-unbuilt-'))
  try {
    for (const path of [
      'tools/setup',
      'hosts/node/src',
      'hosts/node/package.json',
      'Cargo.toml',
      'README.md',
      'LICENSE',
    ])
      cpSync(join(root, path), join(tree, path), { recursive: true })
    const npmPack = () => exec('npm', ['pack', '--dry-run'], { cwd: join(tree, 'hosts/node') })
    const { ended, output } = await npmPack()
    expect(ended).toBeDefined()
    expect(output).toMatch(/this tree cannot be packed: run 'npm run build'[\s\S]*dist\/index\.js is missing/)
    expect(output).toContain('native/polyloop.node is missing')
  } finally {
    rmSync(tree, { recursive: true, force: true })
  }
})

describe('a project that has installed it', () => {
  const body = `
const guests = [
  await load(new URL('./text.py', here), { placement: 'thread' }),
  await load(new URL('./text.py', here), { placement: 'process', config: 1 }),
  await load(new URL('./libguest.so', here), { placement: 'thread' }),
]
const answers = [await guests[0].shout('a'), await guests[1].shout('b'), await guests[2].add(1, 2)]
for (const guest of guests) await guest.unload()
console.log(JSON.stringify([answers, typeof msgpack, PolyloopError.name]))
`
  const said = '[["A","B",3],"object","PolyloopError"]\n'
  beforeAll(() => {
    const target = process.env.CARGO_TARGET_DIR ?? 'target'
    project.copy(join(target, 'release', 'libpolyloop_fixture.so'), 'libguest.so')
    const names = '{ load, PolyloopError }'
    project.write(
      'program.mjs',
      `import ${names} from 'polyloop'\nimport { msgpack } from '${msgpack}'\nconst here = import.meta.url\n${body}`,
    )
    project.write(
      'program.cjs',
      `const ${names} = require('polyloop')\nconst { msgpack } = require('${msgpack}')
const here = require('node:url').pathToFileURL(__filename)\nvoid (async () => {${body}})()`,
    )
  })

  test.each(['program.mjs', 'program.cjs'])('calls guests by %s, from another working directory', async (name) => {
    expect(await project.run(process.execPath, project.at(name))).toMatchObject({ ended: undefined, stdout: said })
  })

  test('finds its types under every resolution of modules', async () => {
    const use = `import { load, type Runtime } from 'polyloop'
import { msgpack } from '${msgpack}'
interface Text { shout(text: string): string }
export async function shout(text: string): Promise<string> {
  const guest: Runtime<Text> = await load<Text>(new URL('file:///text.py'), { placement: 'process', codec: msgpack })
  return guest.shout(text)
}\n`
    for (const name of ['use.mts', 'use.cts']) project.write(`types/${name}`, use)
    mkdirSync(project.at('types'), { recursive: true })
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2022', lib: ['es2022', 'esnext.disposable'], noEmit: true },
      ...{ strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false },
      ...{ types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
    }
    const config = project.write('types/tsconfig.json', JSON.stringify({ compilerOptions }))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { ended, output } = await project.run(process.execPath, tsc, '-p', config)
    expect(ended, output).toBeUndefined()
  })
})
