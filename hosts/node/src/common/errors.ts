// SPDX-License-Identifier: Apache-2.0
import { fieldsOf } from './words.ts'

/** Every code that a {@link PolyloopError} can have. */
export const errorCodes = [
  'not-found',
  'init-failed',
  'invalid-argument',
  'too-large',
  'overloaded',
  'deadline',
  'cancelled',
  'unloaded',
  'guest-error',
  'guest-crashed',
  'protocol',
] as const

export type PolyloopErrorCode = (typeof errorCodes)[number]

/** An error as the guest's own language has it. */
export interface GuestError {
  /** The type's name: `ValueError`, `std::io::Error`. */
  readonly type: string
  readonly message: string
  /** The trace as the language prints it, if there is one. */
  readonly stack?: string
  /** A code that the guest's author gave it. */
  readonly code?: string
}

/** How a guest's process ended. */
export interface GuestExit {
  readonly code: number | null
  readonly signal: string | null
  /** What it wrote last, on either stream. */
  readonly lines: readonly string[]
}

/** What an error object of the ABI holds; see `polyloop_abi::Host::respond`. */
interface ErrorObject {
  code?: unknown
  type?: unknown
  message?: unknown
  stack?: unknown
  rc?: unknown
  cause?: unknown
}

interface Details {
  cause?: unknown
  exit?: GuestExit | undefined
  rc?: number
  guest?: GuestError
}

/** The one class of errors that Polyloop rejects and throws with. */
export class PolyloopError extends Error {
  override readonly name = 'PolyloopError'
  readonly code: PolyloopErrorCode
  /** The number that the guest failed with: 1 unless its author chose another. */
  declare readonly rc?: number
  /** The error that was thrown in the guest. */
  declare readonly guest?: GuestError
  /** How its process ended, if it had one. */
  declare readonly exit?: GuestExit

  constructor(code: PolyloopErrorCode, message: string, details: Details = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    if (details.rc !== undefined) this.rc = details.rc
    if (details.guest !== undefined) this.guest = details.guest
    if (details.exit !== undefined) this.exit = details.exit
  }

  /** The error for an error object in JSON; `code` is the one for errors of the guest's own. */
  static fromGuest(code: PolyloopErrorCode, json: string, rc?: number): PolyloopError {
    try {
      const object = JSON.parse(json) as unknown
      if (typeof object === 'object' && object !== null) return fromObject(code, object, rc)
      throw new TypeError('it is not an object')
    } catch (cause) {
      const message = `the guest reported an error that is not a JSON object: ${json.slice(0, 200)}`
      return new PolyloopError('protocol', message, { cause })
    }
  }

  /** An error with this code, caused by another. */
  static from(code: PolyloopErrorCode, cause: Error): PolyloopError {
    return new PolyloopError(code, cause.message, { cause })
  }

  /** The error for an error object of the host's own native side, which names one of our codes. */
  static fromHost(json: string): PolyloopError {
    const { code, message } = fieldsOf(json)
    const text = typeof message === 'string' ? message : json.slice(0, 200)
    return new PolyloopError(isCode(code) ? code : 'protocol', text)
  }
}

/** The guest broke a rule of the rings: nothing that it says can be believed any more. */
export class Breach extends PolyloopError {
  constructor(what: string, cause?: unknown) {
    super('protocol', `the guest broke the protocol: ${what}`, cause === undefined ? {} : { cause })
  }
}

/** Causes of causes that are told. */
const deepest = 16

function fromObject(code: PolyloopErrorCode, object: ErrorObject, rc?: number, depth = 0): PolyloopError {
  const type = typeof object.type === 'string' ? object.type : 'Error'
  const message = typeof object.message === 'string' ? object.message : 'the guest gave no message'
  if (type === 'PolyloopError' && isCode(object.code)) return new PolyloopError(object.code, message)
  const guest: { -readonly [K in keyof GuestError]: GuestError[K] } = { type, message }
  if (typeof object.stack === 'string') guest.stack = object.stack
  if (typeof object.code === 'string') guest.code = object.code
  const details: Details = { guest, rc: rc ?? (typeof object.rc === 'number' ? object.rc : 1) }
  if (typeof object.cause === 'object' && object.cause !== null && depth < deepest) {
    details.cause = fromObject(code, object.cause, undefined, depth + 1)
  }
  const error = new PolyloopError(
    ownCode(code, guest.code),
    guest.type ? `${guest.type}: ${guest.message}` : guest.message,
    details,
  )
  // The frames here are those of the loop's drain and tell nobody anything: the guest's do.
  error.stack = `${error.name}: ${error.message}${guest.stack === undefined ? '' : `\n${indent(guest.stack)}`}`
  return error
}

/** The code of ours for an error that its kit gave a code. */
function ownCode(code: PolyloopErrorCode, guest: string | undefined): PolyloopErrorCode {
  // An argument that the kit could not turn into its function's parameter is the caller's mistake.
  if (code === 'guest-error' && guest === 'invalid-argument') return guest
  // So is the name of a module that the loader does not find.
  if (code === 'init-failed' && guest === 'not-found') return guest
  return code
}

function isCode(code: unknown): code is PolyloopErrorCode {
  return (errorCodes as readonly unknown[]).includes(code)
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '    ').trimEnd()
}
