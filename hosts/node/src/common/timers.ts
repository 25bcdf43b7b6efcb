// SPDX-License-Identifier: Apache-2.0

/** Longest delay of a timer, in milliseconds: 2^31 - 1, or 24 days. */
export const longestTimer: number = 0x7fff_ffff
