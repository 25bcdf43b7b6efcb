// SPDX-License-Identifier: Apache-2.0
// A test of a project, for Jest and vitest alike.
import { load } from 'polyloop'

for (const placement of ['thread', 'process']) {
  test(placement, async () => {
    const guest = await load(new URL('../text.py', import.meta.url), { placement, config: placement })
    expect(await guest.shout('a')).toBe('A')
    if (placement === 'process') await guest.unload()
  })
}
