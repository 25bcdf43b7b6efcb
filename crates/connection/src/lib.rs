// SPDX-License-Identifier: Apache-2.0
//! Connections: what joins one host to one guest that takes its tasks.
//!
//! A host creates a [`Connection`], gives its block to its event loop and calls [`load`]; a guest
//! takes tasks and answers them through the same [`Connection`]. Neither knows the other: the host
//! is a [`Host`], the guest a [`Guest`]. If the guest has a process of its own, the host has a
//! [`RemoteConnection`], and the other process a [`Connection`] that is attached to it. If one
//! guest serves several hosts, it has a [`HostTable`] of them: a guest takes its tasks from a
//! [`TaskSource`], which is either.

pub mod address;
mod connection;
mod error;
mod host_table;
pub mod join;
mod lifecycle;
mod log;
pub mod packet;
mod remote_connection;
mod streams;
mod task_source;
mod under_way;

pub use connection::{Connection, Event, Host, Limits, Shared, Task};
pub use error::{ErrorObject, LONGEST_WORDS};
pub use host_table::{Full, HOST_SLOTS, HostTable, Rounds};
pub use lifecycle::{Beat, Guest, StartOptions, load, unload};
pub use log::Line;
pub use remote_connection::RemoteConnection;
pub use task_source::TaskSource;
pub use under_way::{Item, Nothing};
