// SPDX-License-Identifier: Apache-2.0
// New code in the place of old, without a call lost.
import { execFileSync } from 'node:child_process'
import { readdirSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { RuntimeEvent } from '../../src/common/events.ts'
import type { LoadOptions } from '../../src/common/options.ts'
import type { Runtime } from '../../src/runtime/handle.ts'
import { load } from '../../src/runtime/load.ts'
import { rejection, until } from '../support/calls.ts'
import { temporaryFolder, write } from '../support/folders.ts'
import { inRoot, rust } from '../support/paths.ts'

/** A guest that says which version it is, and waits in between. */
const source = (version: number, more = ''): string => `
import asyncio

def version():
    return ${version}

async def slow(seconds):
    await asyncio.sleep(seconds)
    return ${version}

def count(items):
    for item in range(items):
        yield [${version}, item]
${more}
`

interface Started {
  readonly guest: Runtime
  readonly events: RuntimeEvent[]
  readonly types: () => string[]
  /** Writes the code of a version. */
  readonly become: (version: number, more?: string) => void
}

async function start(options: LoadOptions): Promise<Started> {
  const folder = temporaryFolder()
  const become = (version: number, more?: string): string => {
    const path = join(folder, 'guest.py')
    // At once, as editors do it: a reload may be under way.
    renameSync(write(folder, 'new', source(version, more)), path)
    return path
  }
  const events: RuntimeEvent[] = []
  const onEvent = (event: RuntimeEvent): number => events.push(event)
  const guest = await load(`python:${become(1)}`, { onEvent, ...options })
  return { guest, events, types: () => events.map(({ type }) => type), become }
}

describe.each([
  { home: 'on threads', options: { placement: 'thread' } },
  { home: 'in a process', options: { placement: 'process' } },
  { home: 'in a process that others may share', options: { placement: 'process', shared: true } },
] as const)('a reload, $home', ({ options }) => {
  test('of a syntax error keeps the old code and says what is wrong', async () => {
    const { guest, become, types } = await start(options)
    become(2, 'def oops(:')
    await rejection(guest.reload(), 'init-failed', 'SyntaxError')
    expect(await guest.call('version')).toBe(1)
    expect(types().at(-1)).toBe('reload-failed')
    become(3)
    await guest.reload()
    expect(await guest.call('version')).toBe(3)
    await guest.unload()
  })

  test('brings functions and takes them away', async () => {
    const { guest, become } = await start(options)
    await rejection(guest.call('fresh'), 'not-found')
    become(2, 'def fresh(): return "fresh"\ndef version(): return "other"')
    await guest.reload()
    expect(await guest.call('fresh')).toBe('fresh')
    expect(await guest.call('version')).toBe('other')
    become(3, 'del version')
    await guest.reload()
    await rejection(guest.call('version'), 'not-found')
    await rejection(guest.call('fresh'), 'not-found')
    expect(guest.methods.map(({ name }) => name)).toEqual(['slow', 'count'])
    await guest.unload()
  })
})

test('where a new instance dies while the next one starts the old ones go on', async () => {
  const { guest, become, types } = await start({ placement: 'process', instances: 2 })
  // The first that starts dies once the second starts, for which it must have been ready. The second is not ready before
  // the host has heard of that.
  const folder = temporaryFolder()
  const [first, second, dead] = ['first', 'second', 'dead'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  become(
    2,
    `
import os, threading, time
def wait(path):
    while not os.path.exists(path): time.sleep(0.005)
if os.path.exists(${JSON.stringify(first)}):
    open(${JSON.stringify(second)}, 'w').close()
    wait(${JSON.stringify(dead)})
else:
    open(${JSON.stringify(first)}, 'w').close()
    def die():
        wait(${JSON.stringify(second)})
        os._exit(1)
    threading.Thread(target=die).start()
`,
  )
  const reloaded = rejection(guest.reload(), 'init-failed', 'died at once')
  await until(() => types().includes('crashed'))
  write(folder, 'dead', '')
  await reloaded
  expect(types().at(-1)).toBe('reload-failed')
  expect(await Promise.all([1, 2, 3, 4].map(() => guest.call('version')))).toEqual([1, 1, 1, 1])
  await until(() => guest.stats().instances.length === 2)
  await guest.unload()
})

test('a module that a guest in a process of its own imports from folders below is its code, too', async () => {
  const folder = temporaryFolder()
  write(folder, 'lib/deep/part.py', 'VERSION = 1\n')
  const path = write(folder, 'whole.py', 'from lib.deep import part\ndef version(): return part.VERSION\n')
  const guest = await load(`python:${path}`, { placement: 'process', hotReload: true })
  expect(await guest.call('version')).toBe(1)
  write(folder, 'lib/deep/part.py', 'VERSION = 20\n')
  await until(async () => (await guest.call('version')) === 20)
  expect(guest.stats().reloads).toBe(1)
  await guest.unload()
})

test('a module by its name is refused on threads, which share it, and reloaded in a process', async () => {
  await rejection(
    load('python:json', { placement: 'thread', hotReload: true }),
    'invalid-argument',
    "set placement to 'process'",
  )
  const shared = await load('python:colorsys', { placement: 'thread' })
  await rejection(shared.reload(), 'invalid-argument', 'name its file')
  const own = await load('python:colorsys', { placement: 'process', config: { own: true } })
  await own.reload()
  expect(own.stats().reloads).toBe(1)
  await Promise.all([shared.unload(), own.unload()])
})

describe.each([{ placement: 'thread' }, { placement: 'process' }] as const)('a library, $placement', (options) => {
  test('is opened anew: its statics are those of the new code, and no copy of it stays', async () => {
    const other = await load(rust, { ...options, config: { test: `other-${options.placement}` } })
    const guest = await load(rust, { ...options, config: { test: `reload-${options.placement}` } })
    const copies = (): string[] => readdirSync(tmpdir()).filter((name) => /^polyloop-......$/.test(name))
    const before = copies()
    await guest.reload()
    // Counted in a static of the library.
    expect(await guest.call('inits')).toBe(1)
    expect(copies()).toEqual(before)
    const bytes = Buffer.from('bytes')
    expect(await guest.call('echo', [bytes])).toEqual(bytes)
    await Promise.all([guest.unload(), other.unload()])
  })

  test('that was built anew is the new one', async () => {
    const folder = temporaryFolder()
    const build = (answer: string): void => {
      const c = write(
        folder,
        'guest.c',
        `#include "polyloop.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
struct guest { const pl_host_t *host; pl_runtime_h runtime; pthread_t thread; };
static void *serve(void *data) {
  struct guest *g = data;
  pl_task_t task;
  while (g->host->take(g->runtime, &task, 1) == PL_TAKE_TASK)
    g->host->respond(g->runtime, task.id, PL_STATUS_OK, PL_FLAG_BYTES, (const uint8_t *)"${answer}", strlen("${answer}"));
  return NULL;
}
int32_t polyloop_guest_start(const pl_host_t *host, pl_runtime_h runtime, const pl_start_info_t *info, void **out) {
  (void)info;
  struct guest *g = malloc(sizeof *g);
  *g = (struct guest){host, runtime, 0};
  const char *manifest = "{\\"methods\\":[]}";
  host->ready(runtime, (pl_bytes_t){(const uint8_t *)manifest, strlen(manifest)});
  pthread_create(&g->thread, NULL, serve, g);
  *out = g;
  return 0;
}
void polyloop_guest_join(void *data) { struct guest *g = data; pthread_join(g->thread, NULL); free(g); }
`,
      )
      const out = join(folder, 'fresh.so')
      execFileSync('cc', ['-fPIC', '-shared', '-pthread', '-I', inRoot('spec'), '-o', out, c])
      execFileSync('mv', [out, join(folder, 'guest.so')])
    }
    build('old')
    const guest = await load(join(folder, 'guest.so'), { ...options, hotReload: true })
    expect(String(await guest.send(Buffer.from('?')))).toBe('old')
    build('new')
    await until(async () => String(await guest.send(Buffer.from('?'))) === 'new')
    await guest.unload()
  })
})
