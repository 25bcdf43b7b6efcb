// SPDX-License-Identifier: Apache-2.0
// Each test here must fail: `npm test` counts it as passed where the compiler finds an error in it.
import type { Methods } from 'polyloop'
import { expectTypeOf, test } from 'vitest'

interface Text {
  size(text: string): number
}

test('a method answers a promise of something else than it returns', () => {
  expectTypeOf<Methods<Text>['size']>().returns.toEqualTypeOf<Promise<string>>()
})

test('a method takes other arguments than it declares', () => {
  expectTypeOf<Methods<Text>['size']>().parameters.toEqualTypeOf<[number]>()
})
