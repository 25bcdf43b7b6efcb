// SPDX-License-Identifier: Apache-2.0
// What a caller of `load` sees, through the package's own exports.
import { type LoadOptions, load, type Methods, type PolyloopErrorCode, type Runtime } from 'polyloop'
import { expectTypeOf, test } from 'vitest'

interface Text {
  size(text: string): number
  lines(text: string): Promise<string[]>
  digest(bytes: Uint8Array): Buffer
  limit: number
}

declare const text: Runtime<Text>
declare const untyped: Runtime

test('load answers a runtime with the methods that were described', () => {
  expectTypeOf(load<Text>('python:text')).resolves.toEqualTypeOf<Runtime<Text>>()
})

test('a function, sync or async, becomes one that answers a promise', () => {
  expectTypeOf(text.size).toEqualTypeOf<(text: string) => Promise<number>>()
  expectTypeOf(text.lines).toEqualTypeOf<(text: string) => Promise<string[]>>()
})

test('what is not a function is not a method', () => {
  expectTypeOf<keyof Methods<Text>>().toEqualTypeOf<'size' | 'lines' | 'digest'>()
})

test('call takes a name that exists, its argument and options', () => {
  expectTypeOf(text.call('size', 'abc')).resolves.toEqualTypeOf<number>()
  text.call('lines', 'abc', { signal: AbortSignal.timeout(50) })
  // @ts-expect-error: there is no such function
  text.call('sizes', 'abc')
  // @ts-expect-error: it takes a text
  text.call('size', 1)
})

test('send takes bytes and answers bytes', () => {
  expectTypeOf(text.send(new Uint8Array(1))).resolves.toEqualTypeOf<Buffer>()
  // @ts-expect-error: a text is no bytes
  text.send('abc')
})

test('a guest that was not described may have any function', () => {
  // Not undefined where noUncheckedIndexedAccess is off.
  expectTypeOf<NonNullable<typeof untyped.anything>>().toEqualTypeOf<(...args: unknown[]) => Promise<unknown>>()
})

test('a runtime can be used with await using', () => {
  expectTypeOf(text).toExtend<AsyncDisposable>()
})

test('options and codes are closed sets', () => {
  expectTypeOf<NonNullable<LoadOptions['whenFull']>>().toEqualTypeOf<'wait' | 'fail'>()
  // @ts-expect-error: there is no such option
  load('python:text', { maxcalls: 1 })
  expectTypeOf<'guest-error'>().toExtend<PolyloopErrorCode>()
  // @ts-expect-error: there is no such code
  expectTypeOf<'timeout'>().toExtend<PolyloopErrorCode>()
})
