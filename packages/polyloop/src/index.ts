// SPDX-License-Identifier: Apache-2.0
export type { Codec } from './codec.ts'
export { errorCodes, type GuestError, PolyloopError, type PolyloopErrorCode } from './errors.ts'
export type { Methods, Runtime, RuntimeFace, Untyped } from './face.ts'
export { load } from './load.ts'
export type { LoadOptions } from './options.ts'
export type { Method, Stats } from './runtime.ts'
export type { CallOptions } from './task.ts'
