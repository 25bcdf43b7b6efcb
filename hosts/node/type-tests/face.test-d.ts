// SPDX-License-Identifier: Apache-2.0
// What a caller of `load` sees, through the package's own exports.
import {
  type Codec,
  errorCodes,
  type GuestError,
  type Keywords,
  kw,
  type LoadOptions,
  load,
  type Methods,
  PolyloopError,
  type PolyloopErrorCode,
  type Runtime,
  type Stream,
} from 'polyloop'
import { msgpack } from 'polyloop/msgpack'
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

test('alloc gives memory that can be sent', () => {
  expectTypeOf(text.alloc).toEqualTypeOf<(bytes: number) => Buffer>()
  expectTypeOf(text.digest(text.alloc(1))).resolves.toEqualTypeOf<Buffer>()
})

test('what is not a function is not a method', () => {
  expectTypeOf<keyof Methods<Text>>().toEqualTypeOf<'size' | 'lines' | 'digest'>()
})

test('arguments by name are one argument more, with a type of its own', () => {
  interface Plots {
    plot(data: number[], options?: Keywords<{ axis?: number }>): void
  }
  const plots = {} as Runtime<Plots>
  expectTypeOf(plots.plot([1], kw({ axis: 1 }))).resolves.toEqualTypeOf<void>()
  // @ts-expect-error: an axis is a number
  plots.plot([1], kw({ axis: 'x' }))
  // @ts-expect-error: an object is not arguments by name
  plots.plot([1], { axis: 1 })
})

test('with gives the same functions, for calls with options', () => {
  expectTypeOf(text.with({ timeout: 50 }).size).toEqualTypeOf<(text: string) => Promise<number>>()
  expectTypeOf(text.with({ deadline: new Date() }).with({}).call('lines', ['abc'])).resolves.toEqualTypeOf<string[]>()
  // @ts-expect-error: there is no such option
  text.with({ timeot: 50 })
  // @ts-expect-error: it takes a text
  text.with({}).size(1)
})

test('what answers item by item is a stream, however it is described, and a value that can be iterated is a value', () => {
  interface Streams {
    each(): AsyncIterable<number>
    items(): Iterable<string>
    generated(): Generator<number>
    later(): AsyncGenerator<number, void>
    list(): number[]
    bytes(): Uint8Array
    table(): Map<string, number>
    text(): string
  }
  const streams = {} as Runtime<Streams>
  expectTypeOf(streams.each()).toEqualTypeOf<Stream<number>>()
  expectTypeOf(streams.items()).toEqualTypeOf<Stream<string>>()
  expectTypeOf(streams.generated()).toEqualTypeOf<Stream<number>>()
  expectTypeOf(streams.later()).toEqualTypeOf<Stream<number>>()
  expectTypeOf(streams.list()).resolves.toEqualTypeOf<number[]>()
  expectTypeOf(streams.bytes()).resolves.toEqualTypeOf<Uint8Array>()
  expectTypeOf(streams.table()).resolves.toEqualTypeOf<Map<string, number>>()
  expectTypeOf(streams.text()).resolves.toEqualTypeOf<string>()
})

test('call takes a name that exists, its argument and options', () => {
  expectTypeOf(text.call('size', ['abc'])).resolves.toEqualTypeOf<number>()
  text.call('lines', ['abc'], { signal: AbortSignal.timeout(50) })
  // @ts-expect-error: there is no such function
  text.call('sizes', ['abc'])
  // @ts-expect-error: it takes a text
  text.call('size', [1])
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

test('call checks the argument and answers what the function returns', () => {
  expectTypeOf(text.call('lines', ['abc'])).resolves.toEqualTypeOf<string[]>()
  expectTypeOf(text.call('digest', [new Uint8Array(1)])).resolves.toEqualTypeOf<Buffer>()
  expectTypeOf(text.call('digest', [Buffer.alloc(1)], { deadline: new Date() })).resolves.toEqualTypeOf<Buffer>()
  // @ts-expect-error: a number is no bytes
  text.call('digest', [7])
  // @ts-expect-error: limit is not a function
  text.call('limit')
  text.call('size', ['abc'], { timeout: 50 })
  // @ts-expect-error: there is no such option of a call
  text.call('size', ['abc'], { timeot: 50 })
  // @ts-expect-error: a deadline is a time
  text.call('size', ['abc'], { deadline: 'tomorrow' })
})

test('functions of several, optional and remaining arguments keep them', () => {
  interface Sums {
    add(a: number, b: number): number
    greet(name: string, greeting?: string): string
    sum(...numbers: number[]): Promise<number>
    nothing(): void
  }
  const sums = {} as Runtime<Sums>
  expectTypeOf(sums.add).toEqualTypeOf<(a: number, b: number) => Promise<number>>()
  expectTypeOf(sums.greet).parameters.toEqualTypeOf<[name: string, greeting?: string | undefined]>()
  expectTypeOf(sums.sum).toEqualTypeOf<(...numbers: number[]) => Promise<number>>()
  expectTypeOf(sums.nothing).toEqualTypeOf<() => Promise<void>>()
  expectTypeOf(sums.call('nothing')).resolves.toEqualTypeOf<void>()
  // @ts-expect-error: it takes two
  sums.add(1)
  // @ts-expect-error: there is no such function
  sums.subtract(1, 2)
})

test('send takes every kind of bytes, and options', () => {
  expectTypeOf(text.send(new ArrayBuffer(1))).resolves.toEqualTypeOf<Buffer>()
  text.send(new DataView(new ArrayBuffer(1)), { signal: new AbortController().signal })
  text.send(new Float64Array(1), { deadline: Date.now() })
  // @ts-expect-error: nor is an array
  text.send([1, 2, 3])
})

test('what every runtime has is not hidden by the methods', () => {
  expectTypeOf(text.stats()).toHaveProperty('inFlight').toEqualTypeOf<number>()
  expectTypeOf(text.unload()).resolves.toEqualTypeOf<void>()
  expectTypeOf(text.methods).items.toHaveProperty('name').toEqualTypeOf<string>()
  expectTypeOf(text.info).toEqualTypeOf<Readonly<Record<string, unknown>>>()
  // @ts-expect-error: a runtime is read-only
  text.methods = []
})

test('an error has a code of the closed set, and perhaps what the guest says', () => {
  const error = new PolyloopError('too-large', 'a message')
  expectTypeOf(error).toExtend<Error>()
  expectTypeOf(error.code).toEqualTypeOf<PolyloopErrorCode>()
  expectTypeOf(error.guest).toEqualTypeOf<GuestError | undefined>()
  expectTypeOf(error.rc).toEqualTypeOf<number | undefined>()
  expectTypeOf(errorCodes).items.toEqualTypeOf<PolyloopErrorCode>()
})

test('a codec has a name and both directions', () => {
  expectTypeOf(msgpack).toExtend<Codec>()
  load('python:text', { codec: msgpack })
  // @ts-expect-error: only json goes by its name
  load('python:text', { codec: 'msgpack' })
  // @ts-expect-error: it cannot decode
  load('python:text', { codec: { name: 'x', encode: () => new Uint8Array() } })
})
