// SPDX-License-Identifier: Apache-2.0
//! Slabs that a guest in a process of its own carves its larger responses from.
//!
//! One file in memory, which takes memory as it is touched, in chunks of 64 KB. The first chunks
//! are a table with a bit for each chunk: the guest marks what it takes, the host what it is done
//! with. A slab is named by its first chunk. The host believes nothing of the table: what it lends
//! to JavaScript it notes in memory of its own. How long the file is, the host chooses; the guest
//! sees it.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    slice,
};

use crate::{
    memory::{
        chunks::{CHUNK_BYTES, WORD_CHUNKS, give_back, mark, take},
        region::{Access, Mapping},
        reserve::{Reserve, chunks},
        space::set_aside,
    },
    sync::AtomicU32,
};

/// The table of an arena.
fn table(memory: &Mapping) -> &[AtomicU32] {
    let words = memory.len() / CHUNK_BYTES / WORD_CHUNKS;
    // SAFETY: the mapping is aligned and longer, zeros are valid, and all access is atomic.
    unsafe { slice::from_raw_parts(memory.as_ptr().cast(), words) }
}

/// Chunks that the table itself takes.
fn of_table(memory: &Mapping) -> usize {
    chunks(size_of_val(table(memory)))
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
        if memory.len() < CHUNK_BYTES * WORD_CHUNKS {
            return Err(io::Error::other("the file is too short for an arena"));
        }
        Ok(Self(memory))
    }

    /// Takes a slab of at least n bytes: its number, its first byte.
    ///
    /// # Errors
    /// If none is free: of the kind [`io::ErrorKind::FileTooLarge`] if none ever is.
    pub fn take(&self, bytes: usize) -> io::Result<(u32, *mut u8)> {
        let Self(memory) = self;
        let Some(first) = take(table(memory), chunks(bytes)) else { return Err(self.refusal(bytes)) };
        // SAFETY: the chunk lies in the mapping.
        Ok((first as u32, unsafe { memory.as_ptr().add(first * CHUNK_BYTES) }))
    }

    fn refusal(&self, bytes: usize) -> io::Error {
        let most = self.0.len() - of_table(&self.0) * CHUNK_BYTES;
        if bytes <= most {
            return io::Error::other("every slab is in use: let go of large responses sooner");
        }
        let why = format!("{most} bytes of address space are set aside for all responses");
        io::Error::new(io::ErrorKind::FileTooLarge, why)
    }
}

/// The host's end, which lends slabs to JavaScript and gives them back.
pub struct HostEnd(Reserve);

impl HostEnd {
    /// A fresh arena, and its file.
    ///
    /// # Errors
    /// If its address space cannot be had.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (memory, file) = set_aside(c"polyloop-responses")?;
        Ok((Self::of(memory), file))
    }

    fn of(memory: Mapping) -> Self {
        let own = 0..of_table(&memory);
        mark(table(&memory), own.clone());
        let reserve = Reserve::new(memory);
        assert!(reserve.claim(own), "an arena is longer than its table");
        Self(reserve)
    }

    /// The memory of a slab of at least n bytes, now lent: first byte and length. `None`: there is
    /// no such slab, or a part of it is lent already, which no honest guest says.
    pub fn lend(&self, slab: u32, bytes: usize) -> Option<(*mut u8, usize)> {
        let (first, count) = (slab as usize, chunks(bytes));
        let is_lent = self.0.claim(first..first.checked_add(count)?);
        is_lent.then(|| (self.0.at(first), count * CHUNK_BYTES))
    }

    /// Gives back a slab that was lent with n bytes.
    pub fn give_back(&self, slab: u32, bytes: usize) {
        let range = slab as usize..slab as usize + chunks(bytes);
        self.0.give_back(range.clone(), 0);
        // The table is in use as long as this is.
        give_back(table(self.0.memory()), range);
    }

    /// The guest is gone: what is lent stays, and nothing else.
    pub fn retire(&self) {
        self.0.retire();
    }

    /// Bytes of all slabs that are lent, or kept for the next.
    pub fn bytes(&self) -> usize {
        let (used, kept) = self.0.bytes();
        used + kept - of_table(self.0.memory()) * CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::memory::{region::file, reserve::KEPT_BYTES};

    fn both() -> (HostEnd, GuestEnd) {
        let (host, file) = HostEnd::new().unwrap();
        (host, GuestEnd::attach(file.as_fd()).unwrap())
    }

    /// An arena of so many chunks.
    fn small(chunks: usize) -> (HostEnd, GuestEnd) {
        let file = file(c"small", chunks * CHUNK_BYTES).unwrap();
        let host = HostEnd::of(Mapping::of(file.as_fd(), Access::Write).unwrap());
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
    fn a_large_slab_has_chunks_in_a_row() {
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
        let (host, _guest) = small(64);
        for (slab, bytes) in [(0, 1), (64, 1), (u32::MAX, 1), (1, 64 * CHUNK_BYTES), (1, usize::MAX)] {
            assert!(host.lend(slab, bytes).is_none(), "{slab}, {bytes}");
        }
        host.lend(5, 2 * CHUNK_BYTES).unwrap();
        for (slab, bytes) in [(5, 1), (6, 1), (4, 2 * CHUNK_BYTES), (1, 40 * CHUNK_BYTES)] {
            assert!(host.lend(slab, bytes).is_none(), "{slab}, {bytes}");
        }
        assert!(host.lend(4, 1).is_some() && host.lend(7, 1).is_some());
    }

    #[test]
    fn memory_beyond_what_is_kept_is_given_back() {
        let (host, guest) = both();
        let mut slabs = Vec::new();
        for _ in 0..KEPT_BYTES / CHUNK_BYTES + 2 {
            let (slab, start) = guest.take(1).unwrap();
            // SAFETY: the slab was just taken.
            unsafe { start.write(7) };
            slabs.push((slab, start));
            host.lend(slab, 1).unwrap();
        }
        for (slab, _) in &slabs {
            host.give_back(*slab, 1);
        }
        assert_eq!(host.bytes(), KEPT_BYTES);
        // SAFETY: the guest's mapping is there; nobody writes.
        let left = slabs.iter().filter(|(_, start)| unsafe { start.read() } == 7).count();
        assert_eq!(left, KEPT_BYTES / CHUNK_BYTES);
    }

    #[test]
    fn an_arena_that_is_used_up_says_so_and_one_that_is_too_short_says_how_long_it_is() {
        let (_host, guest) = small(64);
        guest.take(62 * CHUNK_BYTES).unwrap();
        guest.take(1).unwrap();
        assert!(guest.take(63 * CHUNK_BYTES).unwrap_err().to_string().contains("every slab is in use"));
        let error = guest.take(63 * CHUNK_BYTES + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("4128768 bytes of address space"), "{error}");
    }

    #[test]
    fn what_a_guest_has_written_outside_of_slabs_goes_with_it() {
        let (host, guest) = both();
        let [lent, left] = [0; 2].map(|_| guest.take(CHUNK_BYTES).unwrap());
        for (_, start) in [lent, left] {
            // SAFETY: the slabs were just taken.
            unsafe { start.write(7) };
        }
        let (read, len) = host.lend(lent.0, CHUNK_BYTES).unwrap();
        host.retire();
        // SAFETY: lent; the guest's mapping is there; nobody writes.
        assert_eq!(unsafe { (read.read(), left.1.read()) }, (7, 0));
        assert!(host.lend(left.0, CHUNK_BYTES).is_none());
        host.give_back(lent.0, len);
        assert_eq!(host.bytes(), 0);
    }
}
