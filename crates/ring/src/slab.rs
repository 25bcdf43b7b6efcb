// SPDX-License-Identifier: Apache-2.0
//! Memory for responses that are too large for their slot.
//!
//! Up to [`SHARED_LIMIT`] they are carved one after the other from a slab of [`SLAB_BYTES`]; larger
//! ones get a slab of their own. The host maps a slab once and hands out views of it; when the last
//! view is gone it gives the slab back, and the pages, already faulted in, serve again.

use std::{collections::HashMap, io, sync::Arc};

use crate::{region::Mapping, sync::Mutex};

/// Bytes of a slab that responses share.
pub const SLAB_BYTES: usize = 1 << 20;
/// Largest response that shares a slab.
pub const SHARED_LIMIT: usize = 256 << 10;
/// Bytes of unused slabs that are kept for reuse.
const KEPT_BYTES: usize = 128 << 20;
const ALIGN: usize = 64;

/// A place for one response.
#[derive(Debug)]
pub struct Place {
    /// The slab's number, never 0.
    pub slab: u32,
    /// Where in the slab.
    pub offset: u32,
    /// Whether the slab holds this response alone.
    pub own: bool,
    /// The place itself.
    pub start: *mut u8,
    /// A slab that this allocation filled up, and how many responses it holds.
    pub sealed: Option<(u32, u32)>,
}

/// The slabs of one runtime.
#[derive(Default)]
pub struct Slabs(Mutex<State>);

#[derive(Default)]
struct State {
    slabs: HashMap<u32, Arc<Mapping>>,
    current: Option<Current>,
    free: Vec<u32>,
    free_bytes: usize,
    last: u32,
}

struct Current {
    slab: u32,
    start: *mut u8,
    used: usize,
    count: u32,
}

// SAFETY: the pointer is into a Mapping that the same State keeps alive.
unsafe impl Send for Current {}

impl Slabs {
    /// A place for a response of `len` bytes.
    ///
    /// # Errors
    /// Where memory cannot be mapped.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn place(&self, len: usize) -> io::Result<Place> {
        let mut state = self.0.lock().unwrap();
        if len > SHARED_LIMIT {
            return state.own(len);
        }
        if let Some(place) = state.current.as_mut().and_then(|current| current.carve(len)) {
            return Ok(place);
        }
        let (slab, start) = state.fresh(SLAB_BYTES)?;
        let sealed = state.current.take().map(|full| (full.slab, full.count));
        let mut current = Current { slab, start, used: 0, count: 0 };
        let place = current.carve(len).map(|place| Place { sealed, ..place });
        state.current = Some(current);
        place.ok_or_else(|| io::Error::other("a response is larger than a slab"))
    }

    /// The memory of a slab, for the host to map.
    ///
    /// # Panics
    /// Never, as above.
    pub fn open(&self, slab: u32) -> Option<Arc<Mapping>> {
        self.0.lock().unwrap().slabs.get(&slab).cloned()
    }

    /// Takes a slab back that the host does not use any more.
    ///
    /// # Panics
    /// Never, as above.
    pub fn recycle(&self, slab: u32) {
        self.0.lock().unwrap().recycle(slab);
    }

    /// Bytes of all slabs, in use or kept.
    ///
    /// # Panics
    /// Never, as above.
    pub fn bytes(&self) -> usize {
        self.0.lock().unwrap().slabs.values().map(|mapping| mapping.len()).sum()
    }
}

impl Current {
    fn carve(&mut self, len: usize) -> Option<Place> {
        let end = self.used.checked_add(len).filter(|end| *end <= SLAB_BYTES)?;
        let offset = self.used;
        self.used = end.next_multiple_of(ALIGN);
        self.count += 1;
        // SAFETY: offset + len lies in the slab.
        let start = unsafe { self.start.add(offset) };
        Some(Place { slab: self.slab, offset: offset as u32, own: false, start, sealed: None })
    }
}

impl State {
    fn own(&mut self, len: usize) -> io::Result<Place> {
        // Classes make the odd sizes of one service fit each other's slabs.
        let class = if len <= 16 << 20 { len.next_power_of_two() } else { len.next_multiple_of(SLAB_BYTES) };
        let (slab, start) = self.fresh(class)?;
        Ok(Place { slab, offset: 0, own: true, start, sealed: None })
    }

    /// An unused slab of exactly `bytes`.
    fn fresh(&mut self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        // The last one freed is the warmest.
        let known = self.free.iter().rposition(|slab| self.slabs[slab].len() == bytes);
        if let Some(index) = known {
            self.free_bytes -= bytes;
            let slab = self.free.remove(index);
            return Ok((slab, self.slabs[&slab].as_ptr()));
        }
        let mapping = Arc::new(Mapping::new(bytes)?);
        let start = mapping.as_ptr();
        self.last = (self.last + 1).max(1);
        self.slabs.insert(self.last, mapping);
        Ok((self.last, start))
    }

    fn recycle(&mut self, slab: u32) {
        let Some(bytes) = self.slabs.get(&slab).map(|mapping| mapping.len()) else { return };
        if self.free_bytes + bytes > KEPT_BYTES {
            self.slabs.remove(&slab);
        } else {
            self.free_bytes += bytes;
            self.free.push(slab);
        }
    }
}
