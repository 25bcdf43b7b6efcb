// SPDX-License-Identifier: Apache-2.0
// Where the programs of the documents are built and run: each in a folder of its own with the guests that it finds.
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { exec, type Finished, root, tool } from '../common/exec.ts'
import { type Examples, functionsOf, type Guest, type Library, type Program, visible } from './examples.ts'

/** Stays from run to run, so that cargo finds what has not changed. */
const home = join(root, '.cache', 'docs')
const target = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'))

/** A program in its folder. */
export interface Placed {
  readonly program: Program
  readonly folder: string
  /** The Python modules that it finds. */
  readonly modules: readonly Guest[]
}

const slug = (text: string): string => text.replaceAll(/\W+/g, '_').toLowerCase()

const folderOf = ({ document, line }: { document: string; line: number }): string =>
  join(home, 'programs', slug(document), String(line))

/** Writes the programs and their modules, and links the libraries to where cargo will put them. */
export function place(examples: readonly Examples[]): Placed[] {
  rmSync(join(home, 'programs'), { recursive: true, force: true })
  return examples.flatMap(({ programs, modules, libraries }) =>
    programs.map((program) => {
      const folder = folderOf(program)
      const found = visible(modules, program.line)
      write(join(folder, 'program.ts'), program.text)
      for (const { name, text } of found) write(join(folder, name), `${text}\n`)
      for (const library of visible(libraries, program.line)) link(builtLibrary(library), join(folder, library.name))
      link(join(home, '.venv'), join(folder, '.venv'))
      return { program, folder, modules: found }
    }),
  )
}

function write(path: string, text: string): void {
  // What is the same is left alone: cargo goes by the time of a file.
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function link(to: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(to, path)
}

/** Makes the virtual environment that programs find as `.venv`. */
export function makeVenv(): Promise<Finished> {
  return exec('python3', ['-m', 'venv', '--clear', '--without-pip', join(home, '.venv')])
}

// By its number: a line that moves makes no other crate.
const crateOf = ({ document, index }: Library): string => `${slug(document)}_${index}`
const builtLibrary = (library: Library): string => join(target, 'debug', `lib${crateOf(library)}.so`)

const MANIFEST = `[lib]
crate-type = ["cdylib"]

[dependencies]
polyloop = "0.1"
serde = { version = "1", features = ["derive"] }`

/** Compiles the libraries, against the kit of this repository and without a network; quickly, not for speed. */
export function buildLibraries(libraries: readonly Library[]): Promise<Finished> {
  const folder = join(home, 'rust')
  for (const library of libraries) {
    const name = crateOf(library)
    write(join(folder, name, 'src', 'lib.rs'), `${library.text}\n`)
    write(join(folder, name, 'Cargo.toml'), manifestOf(name, library.manifest ?? MANIFEST))
  }
  const members = libraries.map((library) => `"${crateOf(library)}"`).join(', ')
  write(join(folder, 'Cargo.toml'), `[workspace]\nresolver = "3"\nmembers = [${members}]\n`)
  write(join(folder, 'Cargo.lock'), readFileSync(join(root, 'Cargo.lock'), 'utf8'))
  return exec('cargo', ['build', '--offline', '--workspace', '--target-dir', target], { cwd: folder })
}

/** A manifest of the documents with a package, the library's name, and the kit by its path. */
function manifestOf(name: string, manifest: string): string {
  const kit = join(root, 'guests', 'rust', 'kit')
  const [, version = ''] = /^version = "([\d.]+)"$/m.exec(readFileSync(join(root, 'Cargo.toml'), 'utf8')) ?? []
  const named = manifest.replace(/^\[lib\]$/m, `[lib]\nname = "${name}"`)
  const placed = named.replace(/^polyloop = "([\d.]+)"$/m, (whole, wanted: string) =>
    version.startsWith(`${wanted}.`) ? `polyloop = { path = "${kit}" }` : whole,
  )
  return `[package]\nname = "${name}"\nversion = "0.0.0"\nedition = "2024"\n\n${placed}\n`
}

const TSCONFIG = {
  extends: '../../../tsconfig.base.json',
  compilerOptions: {
    composite: false,
    declarationMap: false,
    isolatedDeclarations: false,
    moduleDetection: 'force',
    // A reader who copies an example goes on from there.
    noUnusedLocals: false,
    noUnusedParameters: false,
    // Beyond `strict`: most readers do without.
    noUncheckedIndexedAccess: false,
    exactOptionalPropertyTypes: false,
  },
  include: ['**/program.ts'],
}

/** Compiles the programs. What is wrong with them, in terms of the documents. */
export async function compile(placed: readonly Placed[]): Promise<string[]> {
  const folder = join(home, 'programs')
  write(join(folder, 'tsconfig.json'), JSON.stringify(TSCONFIG))
  const { output, ended } = await tool('typescript/bin/tsc', ['--pretty', 'false', '-p', folder])
  if (ended === undefined) return []
  const documents = new Map(placed.map((one) => [relative(root, join(one.folder, 'program.ts')), one.program.document]))
  return output
    .trim()
    .split('\n')
    .map((line) => line.replace(/^(\S+)\((\d+),(\d+)\)/, (_, path, at) => `${documents.get(path) ?? path}:${at}`))
}

/** How a program ended, and what it called: `python:./text.py upper`. */
export interface Ran extends Finished {
  readonly calls: ReadonlySet<string>
}

/** Runs a program that was compiled. */
export async function run({ folder }: Placed): Promise<Ran> {
  const recorded = join(folder, 'calls.txt')
  const recorder = join(root, 'tools', 'docs', 'recorder.mjs')
  const args = ['--enable-source-maps', '--import', recorder, 'program.js']
  const finished = await exec(process.execPath, args, {
    cwd: folder,
    env: { RECORDED: recorded },
    watchdog: 4 * 60_000,
  })
  const calls = existsSync(recorded) ? readFileSync(recorded, 'utf8').trim().split('\n') : []
  // Where the folder is, is nobody's concern.
  return { ...finished, stdout: finished.stdout.replaceAll(folder, '/app'), calls: new Set(calls) }
}

/** Functions of Python modules that no program has called, of all that were run. */
export function uncalled(
  modules: readonly Guest[],
  ran: readonly { placed: Placed; calls: ReadonlySet<string> }[],
): string[] {
  return modules.flatMap((module) => {
    const runs = ran.filter(({ placed }) => placed.modules.includes(module))
    return functionsOf(module)
      .filter((name) => !runs.some((run) => hasCalled(run, module, name)))
      .map((name) => `${module.document}:${module.line}: no program of the document calls ${name} of ${module.name}`)
  })
}

/** By its path, or by the URL of what is beside the program. */
function hasCalled(
  { placed, calls }: { placed: Placed; calls: ReadonlySet<string> },
  module: Guest,
  name: string,
): boolean {
  return ['.', placed.folder].some((folder) => calls.has(`python:${folder}/${module.name} ${name}`))
}
