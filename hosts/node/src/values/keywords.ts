// SPDX-License-Identifier: Apache-2.0

/** Arguments by name, see {@link kw}. */
export class Keywords<T extends object = object> {
  readonly values: T

  constructor(values: T) {
    this.values = values
  }
}

/**
 * Arguments by name, as the last argument of a call, or the last before a stream:
 * `guest.plot(data, kw({ axis: 1 }))` is `plot(data, axis=1)`. A Rust guest gets them where its parameters have those names.
 */
export function kw<T extends object>(values: T): Keywords<T> {
  return new Keywords(values)
}
