// SPDX-License-Identifier: Apache-2.0
// The files in cases/: read, and held to their format, which README.md describes.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { errorCodes } from 'polyloop'
import { isAbility, type Placement, placements } from '../languages.ts'
import { root } from './artifacts.ts'
import { read } from './values.ts'

/** An error that a case expects. What is left out may be anything. */
export interface ExpectedError {
  /** A code of Polyloop's closed set; `misuse` stands for the one that the language declares. */
  readonly code?: string
  /** Words of the message. */
  readonly message?: readonly string[]
  readonly rc?: number
  /** What the guest's own error has. */
  readonly guest?: { readonly message?: unknown; readonly code?: string; readonly type?: string }
  /** Words of the stack. */
  readonly stack?: readonly string[]
  readonly cause?: ExpectedError
}

interface Written {
  readonly call: string
  readonly args?: readonly unknown[]
}

/** One case, as it is written. */
export interface Case {
  readonly name: string
  readonly needs?: readonly string[]
  readonly placements?: readonly Placement[]
  /** Options of the load. */
  readonly load?: Readonly<Record<string, unknown>>
  /** Calls that are in flight meanwhile; they are given up afterwards. */
  readonly during?: readonly Written[]
  readonly call?: string
  readonly args?: readonly unknown[]
  /** Bytes for the function `handle`, in place of `call`. */
  readonly send?: unknown
  /** Milliseconds that the caller waits. */
  readonly deadline?: number
  readonly context?: Readonly<Record<string, unknown>>
  readonly value?: unknown
  /** The items of a response stream. */
  readonly items?: readonly unknown[]
  readonly error?: ExpectedError
  /** The context that comes back with the answer. */
  readonly back?: Readonly<Record<string, string>>
}

export interface CaseFile {
  /** The column of the matrix. */
  readonly name: string
  readonly cases: readonly Case[]
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== ''
const isList = (value: unknown): boolean => Array.isArray(value)
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isText)
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
const isContext = (value: unknown): boolean => isObject(value) && Object.values(read(value) as object).every(isText)
const anything = (): boolean => true

type Shape = Readonly<Record<string, (value: unknown) => boolean>>

const fileShape: Shape = { about: isText, cases: isList }
const callShape: Shape = { call: isText, args: isList }
const caseShape: Shape = {
  ...callShape,
  name: isText,
  needs: (value) => isTexts(value) && (value as string[]).every(isAbility),
  placements: (value) => isTexts(value) && (value as Placement[]).every((one) => placements.includes(one)),
  load: isObject,
  during: isList,
  send: isObject,
  deadline: Number.isSafeInteger,
  context: isContext,
  value: anything,
  items: isList,
  error: isObject,
  back: isContext,
}
const errorShape: Shape = {
  code: (value) => value === 'misuse' || (errorCodes as readonly unknown[]).includes(value),
  message: isTexts,
  rc: Number.isSafeInteger,
  guest: isObject,
  stack: isTexts,
  cause: isObject,
}
const guestShape: Shape = { message: anything, code: isText, type: isText }

/** Every file of cases, in the order of their names. */
export function caseFiles(folder: string = join(root, 'conformance', 'cases')): CaseFile[] {
  const paths = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(folder, name))
  return paths.map((path) => parseCases(basename(path, '.json'), readFileSync(path, 'utf8')))
}

/**
 * Reads a file of cases.
 *
 * @throws an error that says which case is wrong, and what
 */
export function parseCases(name: string, text: string): CaseFile {
  const file = JSON.parse(text) as { cases: Case[] }
  hold(file, fileShape, ['about', 'cases'], name)
  for (const [index, one] of file.cases.entries()) checkCase(one, `${name}: case ${index} (${String(one?.name)})`)
  const names = file.cases.map((one) => one.name)
  const twice = names.find((one, index) => names.indexOf(one) !== index)
  if (twice !== undefined) throw new Error(`${name}: two cases have the name '${twice}'`)
  return { name, cases: file.cases }
}

function checkCase(one: Case, where: string): void {
  hold(one, caseShape, ['name'], where)
  const has = (key: keyof Case): boolean => key in one
  if (has('call') && has('send')) throw new Error(`${where} has both call and send`)
  if (has('args') && !has('call')) throw new Error(`${where} has args and no call`)
  if (!has('value') && !has('items') && !has('error'))
    throw new Error(`${where} expects nothing: value, items or error`)
  if (has('value') && (has('items') || has('error'))) throw new Error(`${where} has a value and something beside it`)
  const isLoad = !has('call') && !has('send')
  if (isLoad && !(has('load') && has('error'))) throw new Error(`${where} calls nothing, and expects no load to fail`)
  for (const call of one.during ?? []) hold(call, callShape, ['call'], `${where}, during`)
  if (one.error !== undefined) checkError(one.error, where)
  // Throws if it holds what is no notation.
  for (const part of [one.load, one.args, one.send, one.value, one.items, one.error]) read(part)
}

function checkError(error: ExpectedError, where: string): void {
  hold(error, errorShape, [], `${where}, error`)
  if (Object.keys(error).length === 0) throw new Error(`${where}: an error of which nothing is said`)
  if (error.guest !== undefined) hold(error.guest, guestShape, [], `${where}, guest`)
  if (error.cause !== undefined) checkError(error.cause, `${where}, cause`)
}

/** Holds an object to a shape: its keys, and what they may be. */
function hold(object: unknown, shape: Shape, required: readonly string[], where: string): void {
  if (!isObject(object)) throw new Error(`${where} is not an object`)
  for (const [key, value] of Object.entries(object as object)) {
    const fits = shape[key]
    if (fits === undefined) throw new Error(`${where} has the key '${key}': there are ${Object.keys(shape).join(', ')}`)
    if (!fits(value)) throw new Error(`${where} has a '${key}' that is none: ${JSON.stringify(value)}`)
  }
  const missing = required.find((key) => !(key in (object as object)))
  if (missing !== undefined) throw new Error(`${where} has no '${missing}'`)
}
