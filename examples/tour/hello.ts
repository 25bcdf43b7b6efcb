// SPDX-License-Identifier: Apache-2.0
import { load } from 'polyloop'
import { type Hello, python as options, rustGuest } from './guests.ts'
import { print, title } from './print.ts'

export async function hello(): Promise<void> {
  title(1, 'Two guests of a few lines', '01-hello')
  await using python = await load<Hello>('python:examples/01-hello/hello.py', options)
  await using rust = await load<Hello>(rustGuest('hello'))
  print(`   await python.greet('Ada')    ${await python.greet('Ada')}`)
  print(`   await rust.greet('Ada')      ${await rust.greet('Ada')}`)
}
