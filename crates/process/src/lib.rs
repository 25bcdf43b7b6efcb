// SPDX-License-Identifier: Apache-2.0
//! Starts processes, each in a session of its own, and leaves nothing of them behind: each is reaped,
//! whatever becomes of the thread that has started it.

mod remains;
mod signals;
mod start;
mod table;

pub use remains::kill_children;
pub use signals::{ignore_here_alone, ignore_interrupt};
pub use start::{kill, resume, start, wait};
