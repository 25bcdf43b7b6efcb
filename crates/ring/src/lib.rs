// SPDX-License-Identifier: Apache-2.0
//! Shared-memory rings, doorbells and slabs.
//!
//! One block of memory joins a host's event loop to the threads of a guest: a header whose words
//! stand on 128-byte lines, a submission ring (host to guest), a completion ring (guest to host), a
//! control ring for what is said of calls under way (items, credit, cancellation), and payload
//! areas. [`layout`] gives every offset; `spec/ring.json` repeats them for the other languages. If
//! the guest has a process of its own, the block and two arenas for larger payloads are files in
//! memory that both map. This crate is the only place of the project that uses atomics.
//!
//! Every acquire/release or sequentially consistent pair carries a `SYNC POINT name` on both
//! halves:
//! - `submit`: the host publishes an entry with `sq_tail`, a guest thread reads it.
//! - `guest-sleep`: the host's store of `sq_tail` and load of `sleep` against the poller's store of
//!   `sleep` and second look at `sq_tail` (Dekker; sequentially consistent).
//! - `idle`: the same between the host's look at `idle` and a follower's second look at the ring.
//! - `complete`: a guest thread publishes an entry with `cq_tail`, the host reads it.
//! - `host-sleep`: the guest's store of `cq_tail` and exchange of `armed` against the host's store
//!   of `armed` and second look at `cq_tail` (Dekker; sequentially consistent).
//! - `control`: the host publishes an entry with `control_tail`, who acts on the entry reads it,
//!   and gives it back with `control_head`.
//! - `control-sleep`: the host's store of `control_tail` and load of `control_sleep` against the
//!   store of `control_sleep` and second look at `control_tail` of the thread that acts on it
//!   (Dekker; sequentially consistent).
//! - `chunk`: the host marks a slab's chunks free, the guest takes them.
//! - `stop`: the host raises `stop`, guest threads leave.
//! - `versioned-list`: which blocks there are has changed, against the poller's store of `sleep`
//!   and second look (Dekker).
//! - `retire`: a block is given up, against a guest thread that has just taken a task of it
//!   (Dekker).

pub mod completion;
pub mod control;
pub mod entry;
#[cfg(not(loom))]
pub mod fork;
pub mod futex;
pub mod layout;
mod memory;
#[cfg(all(test, loom))]
mod model;
pub mod spin;
pub mod submission;
mod sync;
pub mod take;
pub mod tasks;
pub mod versioned_list;

pub use entry::{Completion, Entry, Submission};
pub use layout::{Header, Layout};
#[cfg(not(loom))]
pub use memory::{arena, region, request_heap, slab};
pub use spin::Window;
pub use take::{SubmissionSource, Taken, Taker};

/// The rings and the header of one block, wherever they lie.
#[derive(Clone, Copy)]
pub struct Rings<'a> {
    /// Shared words.
    pub header: &'a Header,
    /// The words by which guest threads wait (`sleep`, `poller`, `idle`, `idle_seq`, `guest_cpu`,
    /// `stop`): those of the header, or those that a guest has beside all blocks if it serves
    /// several.
    pub parking: &'a Header,
    /// Submission ring; its length is a power of two.
    pub sq: &'a [Entry],
    /// Completion ring; its length is a power of two.
    pub cq: &'a [Entry],
    /// Control ring; its length is a power of two.
    pub control: &'a [Entry],
}
