// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, test, vi } from 'vitest'
import { Pieces, Printer } from './printer.ts'

const thrown: unknown[] = []
const hear = (error: unknown): void => void thrown.push(error)

afterEach(() => {
  vi.restoreAllMocks()
  process.off('uncaughtException', hear)
})

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** What is written on the process's stderr from now on. */
function written(): () => string {
  let all = ''
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    all += String(text)
    return true
  })
  return () => {
    const text = all
    all = ''
    return text
  }
}

describe('what a guest prints', () => {
  const writes: readonly (readonly [how: string, write: () => unknown])[] = [
    ['returns nothing', () => undefined],
    ['says that it is full, and is not', () => false],
    ['returns a promise', () => Promise.resolve()],
  ]
  test.each(writes)('goes to a stream whose write, of the program, %s: the next line need not wait', (_, write) => {
    const spy = vi.spyOn(process.stderr, 'write').mockImplementation(write as never)
    const typist = new Printer('/a/guest.so', undefined).typist('stderr', () => 7)
    expect(typist.line('hello\n')).toBeUndefined()
    expect(spy.mock.calls[0]?.[0]).toBe('[guest.so 7] hello\n')
  })

  test('goes to a function that throws: an uncaught exception of its own', async () => {
    // The runner listens, too, and would take it for a failure.
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', hear)
    const error = new Error('no')
    const printer = new Printer('guest', () => {
      throw error
    })
    printer.print('hello\n', 'stdout')
    await turn()
    for (const other of others) process.on('uncaughtException', other)
    expect(thrown).toEqual([error])
  })

  test('goes to a function line by line, a line without its end when the guest has gone', () => {
    const texts: unknown[][] = []
    const printer = new Printer('guest', (...all) => texts.push(all))
    printer.print('a\nb', 'stdout')
    printer.print('c', 'stderr')
    printer.print('b\nc\nd', 'stdout')
    const typist = printer.typist('stdout', () => 7)
    void typist.part('x')
    void typist.line('xy\n')
    expect(texts.splice(0)).toEqual([
      ['a\n', 'stdout', {}],
      ['bb\nc\n', 'stdout', {}],
      ['xy\n', 'stdout', { pid: 7 }],
    ])
    printer.end()
    expect(texts).toEqual([
      ['d\n', 'stdout', {}],
      ['c\n', 'stderr', {}],
    ])
  })
})

describe('a part of a line', () => {
  test('is seen at once, and labelled once', () => {
    const next = written()
    const typist = new Printer('guest', undefined).typist('stderr', () => 7)
    void typist.part('name? ')
    expect(next()).toBe('[guest 7] name? ')
    void typist.part('name? Ada')
    expect(next()).toBe('Ada')
    void typist.line('name? Ada!\n')
    expect(next()).toBe('!\n')
    void typist.line('next\n')
    expect(next()).toBe('[guest 7] next\n')
  })

  test('that goes back to the beginning of its line is labelled there', () => {
    const next = written()
    const typist = new Printer('guest', undefined).typist('stderr', () => 7)
    void typist.part('1 %')
    void typist.part('1 %\r2 %')
    void typist.line('1 %\r2 %\r\n')
    expect(next()).toBe('[guest 7] 1 %\r[guest 7] 2 %\r\n')
  })

  test('is ended by a line of another guest, and its line comes whole', () => {
    const next = written()
    const printer = new Printer('guest', undefined)
    const typist = new Printer('other', undefined).typist('stderr', () => 7)
    printer.print('loading ... ', 'stderr')
    void typist.line('hello\n')
    printer.print('done\n', 'stderr')
    expect(next()).toBe('loading ... \n[other 7] hello\nloading ... done\n')
    void typist.part('a')
    printer.print('b\n', 'stderr')
    void typist.part('aa')
    printer.print('c\n', 'stderr')
    void typist.line('aaa\n')
    expect(next()).toBe('[other 7] a\nb\n[other 7] aa\nc\n[other 7] aaa\n')
  })

  test('that nothing follows comes once, however its line ends', () => {
    const next = written()
    const [one, other] = [new Printer('one', undefined), new Printer('other', undefined)]
    one.print('name? ', 'stderr')
    other.print('hello\n', 'stderr')
    one.print('\n', 'stderr')
    one.print('next\n', 'stderr')
    expect(next()).toBe('name? \nhello\nnext\n')
  })

  test('that is a progress bar is not seen while the line of another guest is', () => {
    const next = written()
    const [one, other] = [new Printer('one', undefined), new Printer('other', undefined)]
    one.print('\r1 %', 'stderr')
    other.print('\r10 %', 'stderr')
    one.print('\r2 %', 'stderr')
    other.print('\r20 %', 'stderr')
    one.print('\r100 %\n', 'stderr')
    other.print('\r100 %', 'stderr')
    other.print('\n', 'stderr')
    expect(next()).toBe('\r1 %\r2 %\r100 %\n\r20 %\r100 %\n')
  })

  test('may come in pieces, which end by themselves', () => {
    const next = written()
    const pieces = new Pieces(new Printer('guest', undefined).typist('stderr', () => undefined))
    for (const piece of ['a', 'b', 'c\n', 'd\n', 'e']) void pieces.take(piece)
    expect(next()).toBe('abc\nd\ne')
    void pieces.end()
    void pieces.end()
    expect(next()).toBe('\n')
  })
})
