// SPDX-License-Identifier: Apache-2.0
//! Memory for responses that are too large for their slot.
//!
//! Up to [`SHARED_LIMIT`] they are carved one after the other from a slab of [`SLAB_BYTES`]; larger
//! ones get a slab of their own. The host maps a slab once and hands out views of it; when the last
//! view is gone it gives the slab back, and the pages, already faulted in, serve again. A guest in
//! a process of its own carves from an [`arena`], whose slabs the host finds there.

use std::{collections::HashMap, io, sync::Arc};

use crate::{
    memory::{arena, chunks::CHUNK_BYTES, region::Mapping},
    sync::Mutex,
};

/// Bytes of a slab that responses share.
pub const SLAB_BYTES: usize = CHUNK_BYTES;
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

/// The slabs of one connection.
#[derive(Default)]
pub struct Slabs(Mutex<State>);

#[derive(Default)]
struct State {
    current: Option<Current>,
    source: Source,
}

/// Where slabs come from.
enum Source {
    /// Memory of this process, where the host is, too.
    Own(Own),
    /// The arena that the host's process has made, and looks slabs up in.
    Arena(arena::GuestEnd),
}

#[derive(Default)]
struct Own {
    slabs: HashMap<u32, Arc<Mapping>>,
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

impl Default for Source {
    fn default() -> Self {
        Self::Own(Own::default())
    }
}

impl Slabs {
    /// Slabs of an arena.
    pub fn of(arena: arena::GuestEnd) -> Self {
        Self(Mutex::new(State { current: None, source: Source::Arena(arena) }))
    }

    /// A place for a response of `len` bytes.
    ///
    /// # Errors
    /// If memory cannot be mapped.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn place(&self, len: usize) -> io::Result<Place> {
        let mut state = self.0.lock().unwrap();
        if len > SHARED_LIMIT {
            let (slab, start) = state.source.own(len)?;
            return Ok(Place { slab, offset: 0, own: true, start, sealed: None });
        }
        if let Some(place) = state.current.as_mut().and_then(|current| current.carve(len)) {
            return Ok(place);
        }
        let (slab, start) = state.source.fresh(SLAB_BYTES)?;
        let sealed = state.current.take().map(|full| (full.slab, full.count));
        let mut current = Current { slab, start, used: 0, count: 0 };
        let place = current.carve(len).map(|place| Place { sealed, ..place });
        state.current = Some(current);
        place.ok_or_else(|| io::Error::other("a response is larger than a slab"))
    }

    /// The memory of a slab of this process, for the host to map.
    ///
    /// # Panics
    /// Never, as above.
    pub fn open(&self, slab: u32) -> Option<Arc<Mapping>> {
        match &self.0.lock().unwrap().source {
            Source::Own(own) => own.slabs.get(&slab).cloned(),
            Source::Arena(_) => None,
        }
    }

    /// Takes a slab of this process back that the host does not use any more.
    ///
    /// # Panics
    /// Never, as above.
    pub fn recycle(&self, slab: u32) {
        if let Source::Own(own) = &mut self.0.lock().unwrap().source {
            own.recycle(slab);
        }
    }

    /// Bytes of all slabs of this process, in use or kept.
    ///
    /// # Panics
    /// Never, as above.
    pub fn bytes(&self) -> usize {
        match &self.0.lock().unwrap().source {
            Source::Own(own) => own.slabs.values().map(|mapping| mapping.len()).sum(),
            Source::Arena(_) => 0,
        }
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

impl Source {
    /// A slab for one large response.
    fn own(&mut self, len: usize) -> io::Result<(u32, *mut u8)> {
        // Classes make the odd sizes of one service fit each other's slabs.
        let class = if len <= 16 << 20 { len.next_power_of_two() } else { len.next_multiple_of(SLAB_BYTES) };
        match self {
            Self::Own(own) => own.fresh(class),
            Self::Arena(arena) => arena.take(len),
        }
    }

    fn fresh(&mut self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        match self {
            Self::Own(own) => own.fresh(bytes),
            Self::Arena(arena) => arena.take(bytes),
        }
    }
}

impl Own {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_share_a_slab_until_it_is_full_which_is_then_sealed_with_their_count() {
        let slabs = Slabs::default();
        let first = slabs.place(SHARED_LIMIT).unwrap();
        for _ in 0..3 {
            let next = slabs.place(SHARED_LIMIT).unwrap();
            assert_eq!((next.slab, next.own, next.sealed), (first.slab, false, None));
        }
        let after = slabs.place(1).unwrap();
        assert_ne!(after.slab, first.slab);
        assert_eq!(after.sealed, Some((first.slab, 4)));
    }

    #[test]
    fn places_do_not_overlap_and_are_aligned() {
        let slabs = Slabs::default();
        let mut end = 0;
        for len in [2000, 1, 63, 64, 65, 4096] {
            let place = slabs.place(len).unwrap();
            assert!(place.offset as usize >= end && (place.offset as usize).is_multiple_of(ALIGN));
            end = place.offset as usize + len;
        }
    }

    #[test]
    fn a_large_response_has_a_slab_of_its_own_that_the_next_of_its_size_gets_again() {
        let slabs = Slabs::default();
        let place = slabs.place(SHARED_LIMIT + 1).unwrap();
        assert!(place.own);
        assert_ne!(slabs.place(SHARED_LIMIT + 1).unwrap().slab, place.slab, "it is in use");
        slabs.recycle(place.slab);
        assert_eq!(slabs.place(SHARED_LIMIT + 100).unwrap().slab, place.slab);
    }

    #[test]
    fn memory_that_the_host_still_maps_outlives_the_recycling() {
        let slabs = Slabs::default();
        let place = slabs.place(KEPT_BYTES + 1).unwrap();
        let mapped = slabs.open(place.slab).unwrap();
        // SAFETY: the place is ours.
        unsafe { place.start.write(7) };
        slabs.recycle(place.slab);
        assert!(slabs.open(place.slab).is_none(), "too large to be kept for reuse");
        // SAFETY: the mapping is held.
        assert_eq!(unsafe { mapped.as_ptr().read() }, 7);
    }

    #[test]
    fn unused_slabs_beyond_what_is_kept_are_given_back() {
        let slabs = Slabs::default();
        let places: Vec<_> = (0..20).map(|_| slabs.place(16 << 20).unwrap().slab).collect();
        for slab in places {
            slabs.recycle(slab);
        }
        assert!(slabs.bytes() <= KEPT_BYTES);
    }
}
