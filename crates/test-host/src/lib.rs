// SPDX-License-Identifier: Apache-2.0
//! Hosts for tests.
//!
//! A [`Guest`] is a guest of the C ABI with a host of queues in its place: enough to hold a guest
//! to the ABI without a ring. That host is strict: memory that the guest has given back faults when
//! it is touched, and what a guest may not do is a panic.
//!
//! With the feature `rings`, the module `rings` is the host's end of a block, and a guest of plain
//! Rust.

mod call;
mod guest;
mod library;
mod page;
#[cfg(feature = "rings")]
pub mod rings;
mod state;
mod streams;
mod table;
mod tasks;

pub use call::{Answer, Call, Item};
pub use guest::{Guest, Options, Refused};
pub use library::Library;
pub use state::MAX_ITEM;
