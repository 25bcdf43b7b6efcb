// SPDX-License-Identifier: Apache-2.0
//! The process that a guest lives in.

mod lifeline;
mod serve;
mod shared;

pub use serve::serve;
