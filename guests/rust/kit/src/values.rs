// SPDX-License-Identifier: Apache-2.0
//! Between payloads and Rust values.

pub mod arguments;
pub mod array;
pub mod bytes;
pub mod codec;
pub mod date;
mod envelope;
pub mod misfit;
mod names;
pub mod numbers;
pub mod parameter;
pub mod text;
mod tree;
mod write;

#[cfg(test)]
mod tests;
