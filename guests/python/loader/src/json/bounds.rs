// SPDX-License-Identifier: Apache-2.0
//! Bounds that the kit has, too.

/// Levels of values that are written: `DEEPEST` of the kit.
pub const DEEPEST: usize = 127;

/// Integers beyond it are written as tags, and read as floats: `SAFE` of the kit.
pub const SAFE: i64 = (1 << 53) - 1;
