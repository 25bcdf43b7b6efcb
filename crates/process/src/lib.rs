// SPDX-License-Identifier: Apache-2.0
//! Starts processes, each in a session of its own, and leaves nothing of them behind: each is reaped,
//! whatever becomes of the thread that has started it.

mod remains;
mod start;
mod table;

pub use remains::kill_children;
pub use start::{kill, resume, start, wait};
