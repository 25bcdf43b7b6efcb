// SPDX-License-Identifier: Apache-2.0
//! Runtimes: one library with one configuration, initialised, that takes tasks.
//!
//! A host creates a [`Runtime`], gives its block to its event loop and calls [`load`]; a guest takes
//! tasks and answers them through the same [`Runtime`]. Neither knows the other: the host is a
//! [`Host`], the guest a [`Guest`]. Where the guest has a process of its own, the host has a [`Remote`], and
//! the other process a [`Runtime`] that is attached to it. Where one guest serves several hosts, it has a [`Hall`] of them:
//! a guest takes its tasks from a [`Desk`], which is either.

mod desk;
mod error;
mod hall;
mod lifecycle;
mod log;
pub mod packet;
mod remote;
mod runtime;
mod streams;
mod under_way;

pub use desk::Desk;
pub use error::ErrorObject;
pub use hall::{Full, Hall, Rounds, SEATS};
pub use lifecycle::{Beat, Guest, StartOptions, load, unload};
pub use log::Line;
pub use remote::Remote;
pub use runtime::{Event, Host, Limits, Runtime, Shared, Task};
pub use under_way::{Item, Nothing};
