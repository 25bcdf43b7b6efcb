// SPDX-License-Identifier: Apache-2.0
//! Memory that host and guest map: the block, and where payloads lie that are too large for the
//! block.

#[cfg(not(loom))]
pub mod arena;
#[cfg(any(test, not(loom)))]
pub(crate) mod chunks;
#[cfg(not(loom))]
pub mod region;
#[cfg(not(loom))]
pub mod request_heap;
#[cfg(not(loom))]
pub(crate) mod reserve;
#[cfg(not(loom))]
pub mod slab;
#[cfg(not(loom))]
mod space;
