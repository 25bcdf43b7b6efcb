// SPDX-License-Identifier: Apache-2.0
import { Decoder, Encoder } from '@msgpack/msgpack'
import type { Codec } from './common/codec.ts'

const encoder = new Encoder({ useBigInt64: true })
const decoder = new Decoder({ useBigInt64: false })

/** MessagePack, by \@msgpack/msgpack: `load(..., { codec: msgpack })`. Python guests need the package msgpack. */
export const msgpack: Codec = {
  name: 'msgpack',
  encode: (value) => encoder.encode(value),
  decode: (bytes) => decoder.decode(bytes),
}
