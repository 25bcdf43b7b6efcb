// SPDX-License-Identifier: Apache-2.0
//! Memory for responses that are too large for their slot.
//!
//! Up to [`SHARED_LIMIT`] they are carved one after the other from a slab, in which only others of
//! about their size lie: a slab is there as long as somebody has one of its responses, so one that
//! is kept holds 64 times its bytes at most, or the smallest slab. Larger ones get a slab of their
//! own. The host maps a slab once and hands out views of it; when the last view is gone it
//! gives the slab back, and the pages, already faulted in, serve again. A guest in a process of its
//! own carves from an [`arena`], whose slabs the host finds there.

use std::{io, sync::Arc};

use crate::{
    memory::{
        arena,
        chunks::CHUNK_BYTES,
        region::Mapping,
        reserve::{Reserve, chunks},
    },
    sync::Mutex,
};

/// Largest response that shares a slab.
pub const SHARED_LIMIT: usize = 256 << 10;
/// Slabs that responses share: the largest that may lie there, and the bytes of the slab. To show a
/// slab to JavaScript takes more than a microsecond, which the responses in it share: at least 32 of
/// those to which that matters.
pub const SIZES: [(usize, usize); 4] =
    [(4 << 10, 128 << 10), (8 << 10, 256 << 10), (32 << 10, 512 << 10), (SHARED_LIMIT, 1 << 20)];

/// Slabs of this process are carved from regions of so many bytes, or of one slab that is larger: a
/// process may have some ten thousand mappings.
const REGION_BYTES: usize = 64 << 20;
const ALIGN: usize = 64;

/// In which of [`SIZES`] a response of n bytes lies with others; none if it has a slab of its own.
fn size(len: usize) -> Option<usize> {
    SIZES.iter().position(|(most, _)| len <= *most)
}

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
    /// A slab that this allocation filled up.
    pub sealed: Option<Sealed>,
}

/// A slab from which no more responses come.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The slab's number.
    pub slab: u32,
    /// How many responses it holds.
    pub count: u32,
    /// How long it is.
    pub bytes: u32,
}

/// The slabs of one connection.
#[derive(Default)]
pub struct Slabs(Mutex<State>);

#[derive(Default)]
struct State {
    /// For each size of a slab.
    current: [Option<Current>; SIZES.len()],
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
    regions: Vec<Arc<Reserve>>,
    /// By their numbers, from 1 on.
    slabs: Vec<Option<Carved>>,
    /// Numbers that are no slab's.
    numbers: Vec<u32>,
    is_over: bool,
}

/// A slab of this process.
struct Carved {
    region: Arc<Reserve>,
    first: usize,
    count: usize,
    /// Whether the host has it.
    is_open: bool,
}

struct Current {
    slab: u32,
    start: *mut u8,
    bytes: usize,
    used: usize,
    count: u32,
}

// SAFETY: the pointer is into a slab that the same State keeps in use.
unsafe impl Send for Current {}

impl Default for Source {
    fn default() -> Self {
        Self::Own(Own::default())
    }
}

impl Slabs {
    /// Slabs of an arena.
    pub fn of(arena: arena::GuestEnd) -> Self {
        Self(Mutex::new(State { current: Default::default(), source: Source::Arena(arena) }))
    }

    /// A place for a response of `len` bytes.
    ///
    /// # Errors
    /// If there is no memory for it: of the kind [`io::ErrorKind::FileTooLarge`] if there never is.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn place(&self, len: usize) -> io::Result<Place> {
        let mut state = self.0.lock().unwrap();
        let Some(size) = size(len) else {
            let (slab, start) = state.source.fresh(len)?;
            return Ok(Place { slab, offset: 0, own: true, start, sealed: None });
        };
        if let Some(place) = state.current[size].as_mut().and_then(|current| current.carve(len)) {
            return Ok(place);
        }
        let (_, bytes) = SIZES[size];
        let (slab, start) = state.source.fresh(bytes)?;
        let sealed = state.current[size].take().map(|full| full.seal());
        let mut current = Current { slab, start, bytes, used: 0, count: 0 };
        let place = current.carve(len).map(|place| Place { sealed, ..place });
        state.current[size] = Some(current);
        place.ok_or_else(|| io::Error::other("a response is larger than a slab"))
    }

    /// The memory of a slab of this process, for the host to show: first byte, and length. It is
    /// there until the slab is recycled.
    ///
    /// # Panics
    /// Never, as above.
    pub fn open(&self, slab: u32) -> Option<(*mut u8, usize)> {
        match &mut self.0.lock().unwrap().source {
            Source::Own(own) => own.open(slab),
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

    /// No more responses come: what the host has of this process stays, and nothing else.
    ///
    /// # Panics
    /// Never, as above.
    pub fn retire(&self) {
        let mut state = self.0.lock().unwrap();
        state.current = Default::default();
        if let Source::Own(own) = &mut state.source {
            own.retire();
        }
    }

    /// Bytes of all slabs of this process, in use or kept.
    ///
    /// # Panics
    /// Never, as above.
    pub fn bytes(&self) -> usize {
        match &self.0.lock().unwrap().source {
            Source::Own(own) => {
                own.regions.iter().map(|region| region.bytes()).map(|(used, kept)| used + kept).sum()
            }
            Source::Arena(_) => 0,
        }
    }
}

impl Current {
    fn carve(&mut self, len: usize) -> Option<Place> {
        let end = self.used.checked_add(len).filter(|end| *end <= self.bytes)?;
        let offset = self.used;
        self.used = end.next_multiple_of(ALIGN);
        self.count += 1;
        // SAFETY: offset + len lies in the slab.
        let start = unsafe { self.start.add(offset) };
        Some(Place { slab: self.slab, offset: offset as u32, own: false, start, sealed: None })
    }

    fn seal(&self) -> Sealed {
        Sealed { slab: self.slab, count: self.count, bytes: self.bytes as u32 }
    }
}

impl Source {
    /// An unused slab of at least n bytes.
    fn fresh(&mut self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        match self {
            Self::Own(own) => own.fresh(bytes),
            Self::Arena(arena) => arena.take(bytes),
        }
    }
}

impl Own {
    fn fresh(&mut self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        let count = chunks(bytes);
        let found = self.regions.iter().find_map(|region| Some((Arc::clone(region), region.find(count)?)));
        let (region, first) = match found {
            Some(found) => found,
            None => self.map(count)?,
        };
        let start = region.at(first);
        let carved = Some(Carved { region, first, count, is_open: false });
        let number = self.numbers.pop().unwrap_or_else(|| {
            self.slabs.push(None);
            self.slabs.len() as u32
        });
        self.slabs[number as usize - 1] = carved;
        Ok((number, start))
    }

    /// A slab of so many chunks in a region of its own, with others that come.
    fn map(&mut self, count: usize) -> io::Result<(Arc<Reserve>, usize)> {
        let mut bytes = REGION_BYTES.max(count * CHUNK_BYTES);
        let memory = loop {
            match Mapping::new(bytes) {
                // A limit of address space, or of what may be mapped at all.
                Err(_) if bytes / 2 >= count * CHUNK_BYTES => bytes /= 2,
                made => break made?,
            }
        };
        let region = Arc::new(Reserve::new(memory));
        let first =
            region.find(count).ok_or_else(|| io::Error::other("a region is smaller than its slab"))?;
        self.regions.push(Arc::clone(&region));
        Ok((region, first))
    }

    fn slot(&mut self, slab: u32) -> Option<&mut Option<Carved>> {
        self.slabs.get_mut((slab as usize).checked_sub(1)?)
    }

    fn open(&mut self, slab: u32) -> Option<(*mut u8, usize)> {
        let carved = self.slot(slab)?.as_mut().filter(|carved| !carved.is_open)?;
        carved.is_open = true;
        Some((carved.region.at(carved.first), carved.count * CHUNK_BYTES))
    }

    fn recycle(&mut self, slab: u32) {
        let Some(Carved { region, first, count, .. }) = self.slot(slab).and_then(Option::take) else {
            return;
        };
        let others = self.regions.iter().filter(|other| !Arc::ptr_eq(other, &region));
        region.give_back(first..first + count, others.map(|other| other.bytes().1).sum());
        if region.bytes() == (0, 0) {
            self.regions.retain(|other| !Arc::ptr_eq(other, &region));
        }
        // Nobody asks for the slabs of what is over.
        if !self.is_over {
            self.numbers.push(slab);
        }
    }

    fn retire(&mut self) {
        self.is_over = true;
        let closed = |carved: &Option<Carved>| carved.as_ref().is_some_and(|carved| !carved.is_open);
        for at in (0..self.slabs.len()).filter(|at| closed(&self.slabs[*at])).collect::<Vec<_>>() {
            self.recycle(at as u32 + 1);
        }
        for region in &self.regions {
            region.retire();
        }
        self.regions.retain(|region| region.bytes() != (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::reserve::KEPT_BYTES;

    #[test]
    fn responses_share_a_slab_until_it_is_full_which_is_then_sealed_with_their_count() {
        let slabs = Slabs::default();
        let first = slabs.place(SHARED_LIMIT).unwrap();
        for _ in 0..3 {
            let next = slabs.place(SHARED_LIMIT).unwrap();
            assert_eq!((next.slab, next.own, next.sealed), (first.slab, false, None));
        }
        let after = slabs.place(SHARED_LIMIT).unwrap();
        assert_ne!(after.slab, first.slab);
        assert_eq!(after.sealed, Some(Sealed { slab: first.slab, count: 4, bytes: 1 << 20 }));
    }

    #[test]
    fn a_response_lies_in_a_slab_of_at_most_64_times_its_bytes_or_the_smallest() {
        let most = SIZES.map(|(most, _)| most);
        for len in (1..=SHARED_LIMIT).step_by(61).chain(most).chain(most[..3].iter().map(|most| most + 1)) {
            let (_, bytes) = SIZES[size(len).unwrap()];
            assert!(bytes == SIZES[0].1 || bytes < 64 * len, "{len} in {bytes}");
            assert!(bytes.is_multiple_of(CHUNK_BYTES) && bytes >= 4 * len, "{len} in {bytes}");
        }
        assert_eq!(size(SHARED_LIMIT + 1), None);
    }

    #[test]
    fn responses_of_other_sizes_lie_in_other_slabs() {
        let slabs = Slabs::default();
        let mut seen: Vec<u32> = Vec::new();
        for len in [2000, 8000, 32_000, 200_000] {
            let [one, other] = [0; 2].map(|_| slabs.place(len).unwrap().slab);
            assert_eq!(one, other);
            assert!(!seen.contains(&one));
            seen.push(one);
        }
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
    fn a_large_response_has_a_slab_of_its_own_that_the_next_one_gets_again() {
        let slabs = Slabs::default();
        let place = slabs.place(SHARED_LIMIT + 1).unwrap();
        assert!(place.own);
        assert_ne!(slabs.place(SHARED_LIMIT + 1).unwrap().slab, place.slab, "it is in use");
        assert!(slabs.open(place.slab).is_some() && slabs.open(place.slab).is_none(), "the host has it");
        slabs.recycle(place.slab);
        let next = slabs.place(SHARED_LIMIT + 100).unwrap();
        assert_eq!((next.slab, next.start), (place.slab, place.start));
    }

    #[test]
    fn unused_slabs_beyond_what_is_kept_are_given_back() {
        let slabs = Slabs::default();
        let places: Vec<_> = (0..20).map(|_| slabs.place(16 << 20).unwrap().slab).collect();
        for slab in places {
            slabs.recycle(slab);
        }
        assert!(slabs.bytes() <= KEPT_BYTES);
        let huge = slabs.place(KEPT_BYTES + 1).unwrap().slab;
        slabs.recycle(huge);
        assert!(slabs.bytes() <= KEPT_BYTES);
    }

    #[test]
    fn what_the_host_has_outlives_the_last_response_and_nothing_else() {
        let slabs = Slabs::default();
        let places = [2000, 200_000, 3_000_000].map(|len| slabs.place(len).unwrap());
        let (start, len) = slabs.open(places[0].slab).unwrap();
        // SAFETY: the slab is this test's.
        unsafe { start.write(7) };
        slabs.recycle(places[2].slab);
        slabs.retire();
        // SAFETY: as above.
        assert_eq!((unsafe { start.read() }, slabs.bytes()), (7, len));
        slabs.recycle(places[0].slab);
        assert_eq!(slabs.bytes(), 0);
    }
}
