// SPDX-License-Identifier: Apache-2.0
//! Blocks and slabs as `ArrayBuffer`s.

use std::sync::Arc;

use napi_sys::{napi_env, napi_value};
use polyloop_ring::{arena::HostEnd, region::ParkingWords, slab::Slabs};

use crate::{
    napi::{Result, external, integer, pair, want},
    placement::Placement,
    requests::Requests,
};

/// A connection's block; the connection lives as long as JavaScript can see it.
pub fn block(env: napi_env, placement: &Placement) -> Result<napi_value> {
    let memory = placement.block().memory();
    // SAFETY: the owner keeps the mapping.
    unsafe { external(env, memory.as_ptr(), memory.len(), placement.clone()) }
}

/// The parking words of a guest that serves several hosts.
pub fn parking_words(env: napi_env, parking: Arc<ParkingWords>) -> Result<napi_value> {
    let memory = parking.memory();
    let (start, len) = (memory.as_ptr(), memory.len());
    // SAFETY: the owner keeps the mapping.
    unsafe { external(env, start, len, parking) }
}

/// A slab in JavaScript's hands. Its drop gives the slab back to what it was carved from, where its
/// pages stay mapped until then, whatever becomes of the connection.
struct Lent {
    slabs: Arc<Slabs>,
    slab: u32,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.slabs.recycle(self.slab);
    }
}

/// The same of a guest in a process of its own.
struct LentByProcess {
    arena: Arc<HostEnd>,
    slab: u32,
    bytes: usize,
}

impl Drop for LentByProcess {
    fn drop(&mut self) {
        self.arena.give_back(self.slab, self.bytes);
    }
}

/// Memory for requests of n bytes, and where guests find it: `[ArrayBuffer, number]`. Its place is
/// free again when its views are gone.
pub fn requests(env: napi_env, requests: &Requests, bytes: usize) -> Result<napi_value> {
    let (allocation, address) = requests.reserve(bytes).map_err(|error| want(&error))?;
    let address = integer(env, i64::try_from(address)?)?;
    // SAFETY: the allocation is the owner, and its bytes nobody else's.
    let memory = unsafe { external(env, allocation.as_ptr(), bytes, allocation) }?;
    pair(env, memory, address)
}

/// A slab of responses, of at least n bytes. To be opened once; the slab is recycled when its views
/// are gone.
pub fn slab(env: napi_env, placement: &Placement, slab: u32, bytes: usize) -> Result<napi_value> {
    match placement {
        Placement::Thread(connection) => {
            let slabs = Arc::clone(connection.slabs());
            let (start, len) = slabs.open(slab).ok_or_else(|| format!("there is no slab {slab}"))?;
            // SAFETY: the slab is the owner's until it is dropped.
            unsafe { external(env, start, len, Lent { slabs, slab }) }
        }
        Placement::Process(remote) => {
            let arena = Arc::clone(remote.responses());
            let lent = arena.lend(slab, bytes);
            let (start, len) =
                lent.ok_or_else(|| format!("there is no slab {slab} of {bytes} bytes to lend"))?;
            // SAFETY: the owner keeps the arena, and nobody else is lent this part of it until it
            // is dropped.
            unsafe { external(env, start, len, LentByProcess { arena, slab, bytes }) }
        }
    }
}
