// SPDX-License-Identifier: Apache-2.0
// The package as a user gets it: packed, and installed into a project that has nothing else of this repository.
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { exec, type Finished, root } from '../common/exec.ts'

const QUIET = ['--no-audit', '--no-fund', '--loglevel=error']

/** Runs a command that has to end well; what it printed on stdout. */
export async function must(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { stdout, output, ended } = await exec(command, args, { cwd, watchdog: 10 * 60_000 })
  if (ended !== undefined) throw new Error(`${[command, ...args].join(' ')}: ${ended}\n${output}`)
  return stdout
}

/** A tarball, and the names of the files in it. */
export interface Packed {
  readonly tarball: string
  readonly files: readonly string[]
}

/** Packs a folder into another. */
async function pack(folder: string, to: string, ...options: string[]): Promise<Packed> {
  const args = ['pack', '--json', '--loglevel=error', `--pack-destination=${to}`, ...options]
  const said = await must('npm', args, folder)
  // Newer versions of npm tell it by the package's name.
  const told = JSON.parse(said.slice(said.search(/^[[{]/m))) as Record<string, Told>
  const [{ filename, files }] = Object.values(told) as [Told]
  return { tarball: join(to, filename), files: files.map(({ path }) => path).sort() }
}

interface Told {
  readonly filename: string
  readonly files: readonly { readonly path: string }[]
}

/** A project with the package installed, outside of the repository. */
export class Project {
  readonly folder: string
  readonly packed: Packed

  private constructor(folder: string, packed: Packed) {
    this.folder = folder
    this.packed = packed
  }

  /** Has the programs of `programs`. Installs the package, and what else is named: that comes from npm, and without it nothing is asked of a network. */
  static async make(...others: string[]): Promise<Project> {
    const folder = mkdtempSync(join(tmpdir(), 'polyloop-project-'))
    const tarballs = join(folder, 'tarballs')
    mkdirSync(tarballs)
    const packed = await pack(join(root, 'hosts', 'node'), tarballs)
    // What it depends on is installed here, already.
    const msgpack = await pack(join(root, 'node_modules', '@msgpack', 'msgpack'), tarballs, '--ignore-scripts')
    const project = new Project(folder, packed)
    cpSync(join(root, 'tools', 'package', 'programs'), folder, { recursive: true })
    project.write('package.json', '{ "private": true }\n')
    const from = others.length === 0 ? ['--offline'] : ['--prefer-offline']
    await must('npm', ['install', ...QUIET, ...from, packed.tarball, msgpack.tarball, ...others], folder)
    return project
  }

  /** Where a file of the project is. */
  at(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Writes a file, and returns where it is. */
  write(name: string, text: string): string {
    mkdirSync(dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), text)
    return this.at(name)
  }

  /** Copies what was built into the project. */
  copy(from: string, name: string): string {
    cpSync(join(root, from), this.at(name))
    return this.at(name)
  }

  /** Runs a program of the project in another working directory. */
  run(command: string, ...args: string[]): Promise<Finished> {
    return exec(command, args, { cwd: tmpdir(), env: { NODE_OPTIONS: '', NODE_PATH: '' }, watchdog: 10 * 60_000 })
  }

  /** A program that an installed package has. */
  bin(name: string): string {
    return this.at('node_modules', '.bin', name)
  }
}
