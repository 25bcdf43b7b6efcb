// SPDX-License-Identifier: Apache-2.0
//! Slabs that a guest in a process of its own carves its larger responses from.
//!
//! One file in memory, which takes memory as it is touched, in chunks of a megabyte. Chunk 0 is a
//! table with a word for each chunk: the guest marks what it takes, the host what it is done with.
//! A slab is named by its first chunk. The host believes nothing of the table: what it lends to
//! JavaScript it notes in memory of its own.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    slice,
};

use crate::{
    memory::{
        chunks::{CHUNK_BYTES, give_back, take},
        region::{Access, Mapping, file},
    },
    sync::{AtomicU32, Mutex},
};

/// Chunks of an arena: 64 GiB of address space.
const CHUNKS: usize = 65_536;
/// Chunks that the host is done with and whose memory is kept for the next slabs.
const KEPT_CHUNKS: usize = 128;

const _: () = assert!(CHUNKS * size_of::<AtomicU32>() <= CHUNK_BYTES, "the table fits chunk 0");

fn table(memory: &Mapping) -> &[AtomicU32] {
    // SAFETY: the mapping is aligned and longer, zeros are valid, and all access is atomic.
    unsafe { slice::from_raw_parts(memory.as_ptr().cast(), CHUNKS) }
}

fn chunks(bytes: usize) -> usize {
    bytes.max(1).div_ceil(CHUNK_BYTES)
}

fn at(memory: &Mapping, chunk: u32) -> *mut u8 {
    debug_assert!((chunk as usize) < CHUNKS);
    // SAFETY: the chunk lies in the mapping.
    unsafe { memory.as_ptr().add(chunk as usize * CHUNK_BYTES) }
}

/// The guest's end, which takes chunks. One thread at a time.
pub struct GuestEnd(Mapping);

impl GuestEnd {
    /// The arena that the host has made.
    ///
    /// # Errors
    /// If the file cannot be mapped, or is none.
    pub fn attach(file: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = Mapping::of(file, Access::Write)?;
        if memory.len() < CHUNKS * CHUNK_BYTES {
            return Err(io::Error::other("the file is too short for an arena"));
        }
        Ok(Self(memory))
    }

    /// Takes a slab of at least n bytes: its number, its first byte.
    ///
    /// # Errors
    /// If none is free.
    pub fn take(&self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        let first = take(table(&self.0), chunks(bytes))
            .ok_or_else(|| io::Error::other("every slab is in use: let go of large responses sooner"))?;
        Ok((first as u32, at(&self.0, first as u32)))
    }
}

/// The host's end, which lends slabs to JavaScript and gives them back.
pub struct HostEnd {
    memory: Mapping,
    state: Mutex<State>,
}

/// What the host knows of each chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// The chunk was never lent, or its memory was given back.
    Bare,
    /// JavaScript sees the chunk.
    Lent,
    /// The chunk may have memory.
    Kept,
}

struct State {
    chunks: Vec<Chunk>,
    lent: usize,
    kept: usize,
}

impl HostEnd {
    /// A fresh arena, and its file.
    ///
    /// # Errors
    /// If its address space cannot be had.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let file = file(c"polyloop-responses", CHUNKS * CHUNK_BYTES)?;
        let memory = Mapping::of(file.as_fd(), Access::Write)?;
        let state = Mutex::new(State { chunks: vec![Chunk::Bare; CHUNKS], lent: 0, kept: 0 });
        Ok((Self { memory, state }, file))
    }

    /// The memory of a slab of at least n bytes, now lent: first byte and length. `None`: there is
    /// no such slab, or a part of it is lent already, which no honest guest says.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn lend(&self, slab: u32, bytes: usize) -> Option<(*mut u8, usize)> {
        let (first, count) = (slab as usize, chunks(bytes));
        let range = first..first.checked_add(count).filter(|end| first > 0 && *end <= CHUNKS)?;
        let mut state = self.state.lock().unwrap();
        if state.chunks[range.clone()].contains(&Chunk::Lent) {
            return None;
        }
        state.kept -= state.chunks[range.clone()].iter().filter(|chunk| **chunk == Chunk::Kept).count();
        state.lent += count;
        state.chunks[range].fill(Chunk::Lent);
        Some((at(&self.memory, slab), count * CHUNK_BYTES))
    }

    /// Gives back a slab that was lent with n bytes.
    ///
    /// # Panics
    /// Never, as above.
    pub fn give_back(&self, slab: u32, bytes: usize) {
        let range = slab as usize..slab as usize + chunks(bytes);
        let mut state = self.state.lock().unwrap();
        let keeps = state.kept + range.len() <= KEPT_CHUNKS;
        if keeps {
            state.kept += range.len();
        } else {
            self.memory.forget(range.start * CHUNK_BYTES, range.len() * CHUNK_BYTES);
        }
        state.lent -= range.len();
        state.chunks[range.clone()].fill(if keeps { Chunk::Kept } else { Chunk::Bare });
        give_back(&table(&self.memory)[range]);
    }

    /// Bytes of all slabs that are lent, or kept for the next.
    ///
    /// # Panics
    /// Never, as above.
    pub fn bytes(&self) -> usize {
        let state = self.state.lock().unwrap();
        (state.lent + state.kept) * CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> (HostEnd, GuestEnd) {
        let (host, file) = HostEnd::new().unwrap();
        (host, GuestEnd::attach(file.as_fd()).unwrap())
    }

    #[test]
    fn what_the_guest_writes_the_host_reads_and_what_it_gives_back_is_taken_again() {
        let (host, guest) = both();
        let (slab, start) = guest.take(100).unwrap();
        // SAFETY: the slab was just taken, and lies in both mappings.
        unsafe { start.write(7) };
        let (read, len) = host.lend(slab, CHUNK_BYTES).unwrap();
        // SAFETY: as above.
        assert_eq!((unsafe { read.read() }, len), (7, CHUNK_BYTES));
        let (other, _) = guest.take(100).unwrap();
        assert_ne!(other, slab, "it is in use");
        host.give_back(slab, CHUNK_BYTES);
        assert_eq!(guest.take(1).unwrap().0, slab);
    }

    #[test]
    fn a_large_slab_has_units_in_a_row() {
        let (host, guest) = both();
        let small = guest.take(1).unwrap().0;
        let large = guest.take(3 * CHUNK_BYTES + 1).unwrap().0;
        assert_eq!(large, small + 1);
        assert_eq!(host.lend(large, 3 * CHUNK_BYTES + 1).unwrap().1, 4 * CHUNK_BYTES);
        assert_eq!(guest.take(1).unwrap().0, large + 4);
        host.lend(small, 1).unwrap();
        host.give_back(small, 1);
        assert_eq!(guest.take(CHUNK_BYTES + 1).unwrap().0, large + 5, "one chunk is too little");
        assert_eq!(guest.take(1).unwrap().0, small);
    }

    #[test]
    fn a_slab_that_there_is_not_or_that_is_lent_is_not_lent() {
        let (host, _guest) = both();
        for (slab, bytes) in
            [(0, 1), (CHUNKS as u32, 1), (u32::MAX, 1), (1, CHUNKS * CHUNK_BYTES), (1, usize::MAX)]
        {
            assert!(host.lend(slab, bytes).is_none(), "{slab}, {bytes}");
        }
        host.lend(5, 2 * CHUNK_BYTES).unwrap();
        for (slab, bytes) in [(5, 1), (6, 1), (4, 2 * CHUNK_BYTES), (1, 100 * CHUNK_BYTES)] {
            assert!(host.lend(slab, bytes).is_none(), "{slab}, {bytes}");
        }
        assert!(host.lend(4, 1).is_some() && host.lend(7, 1).is_some());
    }

    #[test]
    fn memory_beyond_what_is_kept_is_given_back() {
        let (host, guest) = both();
        let mut slabs = Vec::new();
        for _ in 0..KEPT_CHUNKS + 2 {
            let (slab, start) = guest.take(1).unwrap();
            // SAFETY: the slab was just taken.
            unsafe { start.write(7) };
            slabs.push((slab, start));
            host.lend(slab, 1).unwrap();
        }
        for (slab, _) in &slabs {
            host.give_back(*slab, 1);
        }
        assert_eq!(host.bytes(), KEPT_CHUNKS * CHUNK_BYTES);
        // SAFETY: the guest's mapping is there; nobody writes.
        let left = slabs.iter().filter(|(_, start)| unsafe { start.read() } == 7).count();
        assert_eq!(left, KEPT_CHUNKS);
    }

    #[test]
    fn an_arena_that_is_used_up_says_so() {
        let (_host, guest) = both();
        guest.take((CHUNKS - 2) * CHUNK_BYTES).unwrap();
        guest.take(1).unwrap();
        assert!(guest.take(1).unwrap_err().to_string().contains("every slab is in use"));
    }
}
