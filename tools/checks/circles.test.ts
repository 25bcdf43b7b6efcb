// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import { checkRustCircles } from './circles.ts'

const check = (files: Record<string, string>) =>
  checkRustCircles(
    Object.entries(files).map(([name, text]) => ({ path: `kit/src/${name}`, text })),
    ['kit/src'],
  )

const circle = (...modules: string[]) => [`kit/src: imports in a circle: ${modules.join(' -> ')}`]

test('files that import downwards pass, and the root may have names of all of them', () => {
  const files = {
    'lib.rs': 'mod a;\nmod b;\npub use a::A;\n',
    'a.rs': 'use std::fmt;\nuse crate::b::B;\nuse crate::Root;\n',
    'b.rs': 'use serde::a::A;\n',
  }
  expect(check(files)).toEqual([])
})

test('two files that import each other are found, however the imports are written', () => {
  const b = 'pub struct B;\n'
  for (const text of [
    'use crate::b::B;',
    'use crate::{\n    b::{self, B as Other},\n    c,\n};',
    'use super::b::B;',
    'fn f() -> crate::b::B { todo!() }',
    'pub(crate) use crate::b;',
  ]) {
    expect(check({ 'a.rs': text, 'b.rs': `${b}use crate::a::A;` })).toEqual(circle('a', 'b', 'a'))
  }
})

test('a longer circle is shown whole, and each knot once', () => {
  const files = {
    'a.rs': 'use crate::b;',
    'b.rs': 'use crate::c;',
    'c.rs': 'use crate::a;',
    'x.rs': 'use crate::y; use crate::a;',
    'y.rs': 'use crate::x;',
  }
  expect(check(files)).toEqual([...circle('a', 'b', 'c', 'a'), ...circle('x', 'y', 'x')])
})

test('a room and what is in it are files like others', () => {
  expect(check({ 'room.rs': 'mod inner;\n', 'room/inner.rs': 'use super::Room;\n' })).toEqual([])
  for (const text of [
    'mod inner;\npub use inner::Inner;',
    'use self::inner::Inner;',
    'use crate::room::inner::Inner;',
  ]) {
    expect(check({ 'room.rs': text, 'room/inner.rs': 'use super::Room;' })).toEqual(
      circle('room', 'room::inner', 'room'),
    )
  }
})

test('comments, tests, and what a macro writes elsewhere are no imports', () => {
  const files = {
    'a.rs': 'use crate::b::B;',
    'b.rs': [
      '/// See [`crate::a::A`]: use crate::a;',
      'macro_rules! m { () => { $crate::a::A }; }',
      '#[cfg(test)]',
      'mod tests {',
      '    use crate::a::A;',
      '}',
    ].join('\n'),
  }
  expect(check(files)).toEqual([])
})

test('a folder in which nothing imports anything fails', () => {
  expect(check({ 'a.rs': 'pub struct A;' })[0]).toContain('is the check blind?')
  expect(check({})[0]).toContain('is the check blind?')
})
