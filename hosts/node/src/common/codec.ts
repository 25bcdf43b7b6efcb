// SPDX-License-Identifier: Apache-2.0
import { types } from 'node:util'
import { bytesOf } from '../values/arrays.ts'
import { Keywords } from '../values/keywords.ts'
import { encodeValue, UnfitValue } from '../values/skeleton.ts'
import { readFrom } from './call-back.ts'
import { PolyloopError } from './errors.ts'
import { flag } from './layout.ts'
import { reasonOf } from './reasons.ts'

/** Turns values into bytes and back; the guest's kit must know it by the same name. */
export interface Codec {
  /** `msgpack`, or a name that the guest's kit was taught. */
  readonly name: string
  /** May throw: the call then rejects with `invalid-argument`. */
  encode(value: unknown): Uint8Array
  /** May throw: the call then rejects with `protocol`. The bytes are the codec's to keep. */
  decode(bytes: Uint8Array): unknown
}

/** What a codec makes of a value: JSON stays a string until its bytes have a place. */
export type Payload = string | Uint8Array | undefined

/** What a guest can read beside JSON: `envelope` is JSON with tags and attachments, docs/internals/values.md. */
export type Reads = 'json' | 'envelope'

/** The codec as the runtime uses it: one of text, or one of bytes that are its own to keep. */
export type Encoding = { readonly name: string } & (
  | { readonly carries: 'text' }
  | {
      readonly carries: 'bytes'
      encode(value: unknown): Uint8Array
      decode(bytes: Buffer): unknown
    }
)

/** JSON, and what JSON alone cannot carry: the default. */
const json: Encoding = { name: 'json', carries: 'text' }

/** What was made of a caller's codec: its name is read once. */
const encodings = new WeakMap<Codec, Encoding>()

/** @throws invalid-argument if it is not a codec */
export function toEncoding(codec: 'json' | Codec): Encoding {
  if (codec === 'json') return json
  const known = encodings.get(codec)
  if (known !== undefined) return known
  const made = readFrom('codec', () => make(codec))
  encodings.set(codec, made)
  return made
}

function make(codec: Codec): Encoding {
  const name = codec?.name
  if (
    typeof name !== 'string' ||
    name === '' ||
    typeof codec.encode !== 'function' ||
    typeof codec.decode !== 'function'
  ) {
    const message = "codec is neither 'json' nor an object with name, encode and decode, as 'polyloop/msgpack' exports"
    throw new PolyloopError('invalid-argument', message)
  }
  return {
    name,
    carries: 'bytes',
    encode: (value) => {
      const bytes: unknown = codec.encode(value)
      // Not instanceof: a proxy of bytes is none.
      if (types.isUint8Array(bytes)) return bytes
      throw new TypeError(`its encode returned ${typeof bytes}, not a Uint8Array`)
    },
    decode: (bytes) => settled(codec.decode(bytes)),
  }
}

/** A value; what a promise would take for another promise is none. */
function settled(value: unknown): unknown {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (isObject && typeof (value as { then?: unknown }).then === 'function')
    throw new TypeError('its decode returned a promise, not a value')
  return value
}

/** Arguments of a call as they travel. */
export interface Encoded {
  readonly flags: number
  readonly payload: Payload
}

const nothing: Encoded = { flags: flag.empty, payload: undefined }

/**
 * Encodes the arguments of a call: none, one (bytes travel untouched), or several as an array. Undefined at the end is not
 * given.
 *
 * @param reads - what the guest can read
 * @throws invalid-argument if the codec cannot encode them, too-large if the text would be too long
 */
export function encodeArguments(encoding: Encoding, args: readonly unknown[], reads: Reads): Encoded {
  let count = args.length
  while (count > 0 && args[count - 1] === undefined) count--
  if (count === 0) return nothing
  // STOP 2 encode
  if (count > 1 || args[0] instanceof Keywords) {
    const given = count === args.length ? args : args.slice(0, count)
    return { flags: flag.spread, payload: encode(encoding, given, true, reads) }
  }
  const [value] = args
  const bytes = asBytes(value)
  // An array of numbers is more than its bytes, for who can read that.
  const isAll = encoding.carries === 'bytes' || reads === 'json' || isBytes(value)
  if (bytes !== undefined && isAll) return { flags: flag.bytes, payload: bytes }
  return { flags: 0, payload: encode(encoding, value, false, reads) }
}

/**
 * A view of the bytes of a Buffer, ArrayBuffer or view; undefined for anything else.
 *
 * @throws invalid-argument where they are detached, or behind a proxy
 */
export function asBytes(value: unknown): Uint8Array | undefined {
  try {
    // Detached bytes are empty, or throw when they are looked at.
    if (value instanceof Uint8Array && value.length > 0) return value
    return view(value)
  } catch (cause) {
    const message = types.isProxy(value)
      ? 'the argument is a proxy that cannot be read: pass what it stands for'
      : 'the bytes are detached: their memory was transferred before the call'
    throw new PolyloopError('invalid-argument', message, { cause })
  }
}

function view(value: unknown): Uint8Array | undefined {
  // Not instanceof: those of another realm (a test runner's, say) are bytes just as well.
  return ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value) ? bytesOf(value) : undefined
}

function isBytes(value: unknown): boolean {
  return types.isUint8Array(value) || types.isAnyArrayBuffer(value) || types.isDataView(value)
}

function encode(encoding: Encoding, value: unknown, isList: boolean, reads: Reads): Payload {
  try {
    return encoding.carries === 'text' ? encodeValue(value, isList, reads === 'json') : encoding.encode(value)
  } catch (cause) {
    if (cause instanceof UnfitValue) throw new PolyloopError('invalid-argument', cause.message, { cause })
    const reason = reasonOf(cause).split('\n', 1)[0] as string
    if (/string length/.test(reason)) {
      throw new PolyloopError('too-large', 'the argument is too large for one text of JSON: send bytes', { cause })
    }
    const advice = 'pass what the codec can carry, or bytes'
    const message = `the argument cannot be encoded as ${encoding.name}: ${reason}; ${advice}`
    throw new PolyloopError('invalid-argument', message, { cause })
  }
}

/** @throws invalid-argument if it is none */
export function toBytes(value: unknown): Uint8Array {
  const bytes = asBytes(value)
  if (bytes !== undefined) return bytes
  const message = `send takes a Buffer, typed array or ArrayBuffer and got ${typeof value}: use call() for values`
  throw new PolyloopError('invalid-argument', message)
}

/**
 * Arguments without any by name, for a guest that knows no others: they go to the places of the parameters of those names.
 *
 * @throws invalid-argument if the function has no such parameters
 */
export function byPosition(
  args: readonly unknown[],
  { name = 'the function', params }: { readonly name?: string; readonly params?: readonly string[] } = {},
): readonly unknown[] {
  const last = args[args.length - 1]
  if (!(last instanceof Keywords)) return args
  const refuse = (why: string): never => {
    throw new PolyloopError('invalid-argument', why)
  }
  if (params === undefined) return refuse(`${name} takes no arguments by name: pass them by position`)
  const signature = `${name}(${params.join(', ')})`
  const placed = args.slice(0, -1)
  const given = placed.length
  for (const [key, value] of Object.entries(last.values)) {
    const index = params.indexOf(key)
    if (index < 0) refuse(`${signature} has no parameter '${key}'`)
    if (index < given) refuse(`${signature} has '${key}' by position already`)
    while (placed.length < index) placed.push(undefined)
    placed[index] = value
  }
  return placed
}
