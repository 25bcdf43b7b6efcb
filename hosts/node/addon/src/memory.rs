// SPDX-License-Identifier: Apache-2.0
//! Blocks and slabs as `ArrayBuffer`s.

use std::sync::Arc;

use napi_sys::{napi_env, napi_value};
use polyloop_connection::{Connection, RemoteConnection};
use polyloop_ring::region::{Mapping, ParkingWords};

use crate::{
    napi::{Result, external, integer, pair},
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

/// A slab in JavaScript's hands. Its fields matter for its drop alone: the slab goes back to the
/// connection that carves from it, and its pages stay mapped until then.
struct Lent {
    connection: Arc<Connection>,
    slab: u32,
    _memory: Arc<Mapping>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.connection.slabs().recycle(self.slab);
    }
}

/// The same of a guest in a process of its own, whose arena stays mapped until then.
struct LentByProcess {
    remote: Arc<RemoteConnection>,
    slab: u32,
    bytes: usize,
}

impl Drop for LentByProcess {
    fn drop(&mut self) {
        self.remote.responses().give_back(self.slab, self.bytes);
    }
}

/// Memory for requests of n bytes, and where guests find it: `[ArrayBuffer, number]`. Its place is
/// free again when its views are gone.
pub fn requests(env: napi_env, requests: &Requests, bytes: usize) -> Result<napi_value> {
    let (allocation, address) = requests.reserve(bytes)?;
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
            let memory = connection.slabs().open(slab).ok_or_else(|| format!("there is no slab {slab}"))?;
            let (start, len) = (memory.as_ptr(), memory.len());
            // SAFETY: the owner keeps the mapping.
            unsafe {
                external(env, start, len, Lent { connection: Arc::clone(connection), slab, _memory: memory })
            }
        }
        Placement::Process(remote) => {
            let lent = remote.responses().lend(slab, bytes);
            let (start, len) =
                lent.ok_or_else(|| format!("there is no slab {slab} of {bytes} bytes to lend"))?;
            // SAFETY: the owner keeps the arena, and nobody else is lent this part of it until it
            // is dropped.
            unsafe { external(env, start, len, LentByProcess { remote: Arc::clone(remote), slab, bytes }) }
        }
    }
}
