// SPDX-License-Identifier: Apache-2.0
//! Runtimes: one library with one configuration, initialised, that takes tasks.
//!
//! A host creates a [`Runtime`], gives its block to its event loop and calls [`load`]; a guest takes
//! tasks and answers them through the same [`Runtime`]. Neither knows the other: the host is a
//! [`Host`], the guest a [`Guest`].

mod error;
mod lifecycle;
mod log;
mod runtime;
mod streams;
mod under_way;

pub use error::ErrorObject;
pub use lifecycle::{Guest, StartOptions, load, unload};
pub use log::Line;
pub use runtime::{Event, Host, Limits, Runtime, Task};
pub use under_way::{Item, Nothing};
