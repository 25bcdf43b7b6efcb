// SPDX-License-Identifier: Apache-2.0
//! Plain JSON, straight from a request's bytes and into a response's: past the kit, which does what
//! is not plain, and says what is wrong with what is neither.
//!
//! Only functions of the C API are called. No Python code runs meanwhile: whatever is looked at is
//! of a type that is known exactly.

mod bounds;
mod keys;
mod pack;
mod parse;
mod text;
mod write;

pub use pack::{pack, unpack};
pub use parse::parse;
pub use write::{Text, write};
