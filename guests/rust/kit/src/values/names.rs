// SPDX-License-Identifier: Apache-2.0
//! Names of newtypes by which the kit's own types tell its readers and its writer what they are.

/// An array of numbers.
pub const ARRAY: &str = "$polyloop::NdArray";
/// Bytes, and no numbers.
pub const BYTES: &str = "$polyloop::Bytes";
/// A moment.
pub const DATE: &str = "$polyloop::Date";
