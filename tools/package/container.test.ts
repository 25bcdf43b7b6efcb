// SPDX-License-Identifier: Apache-2.0
// A container as they are often run: no file system that can be written to, and 64 MB of /dev/shm.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Project } from './tarball.ts'

/** Runs a command in mounts of its own: all of them read-only, but for a small /dev/shm. */
const CONTAINER = `set -e
mount --make-rprivate /
mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
mount --rbind / /mnt
mount -o remount,ro,bind /mnt
exec chroot /mnt "$@"
`

const isPossible = spawnSync('unshare', ['--mount', 'sh', '-c', CONTAINER, 'sh', 'true']).status === 0

let project: Project
beforeAll(async () => {
  if (isPossible) project = await Project.make()
})
afterAll(() => {
  if (isPossible) rmSync(project.folder, { recursive: true, force: true })
})

test.runIf(isPossible)('guests answer in it, with payloads larger than /dev/shm', async () => {
  // The socket of a shared guest is a file.
  const command = ['env', 'TMPDIR=/dev/shm', process.execPath, project.at('container.mjs')]
  const { stdout, output } = await project.run('unshare', '--mount', 'sh', '-c', CONTAINER, 'sh', ...command)
  expect(stdout, output).toBe(`EROFS\n${'40000000 40000000 40000000\n'.repeat(3)}`)
})
