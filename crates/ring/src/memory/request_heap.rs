// SPDX-License-Identifier: Apache-2.0
//! Where requests lie that are too large for their request buffer, and whose guest has a process of
//! its own: the host copies them here, or has written them here in the first place, and the guest
//! reads them in place. So does a guest in the host's process with what was written here.
//!
//! One file in memory, which takes memory as it is touched. Up to a megabyte an allocation has a
//! place of a power of two, which the next of its size gets again; a larger one has whole
//! megabytes. An address is an offset in the file.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use crate::{
    memory::{
        chunks::CHUNK_BYTES,
        region::{Access, Mapping, file},
    },
    sync::Mutex,
};

/// 64 GiB of address space.
const CHUNKS: usize = 65_536;
/// Smallest place; a request that is smaller fits its request buffer.
const SMALLEST: usize = 8 << 10;
const CLASSES: usize = (CHUNK_BYTES / SMALLEST).ilog2() as usize + 1;
/// Chunks of large allocations whose memory is kept.
const KEPT_CHUNKS: usize = 128;

/// Where the requests of one runtime lie, whichever of its instances they go to.
pub struct RequestHeap {
    memory: Mapping,
    state: Mutex<State>,
}

struct State {
    /// Free places of each size; the last one freed is the warmest.
    free: [Vec<usize>; CLASSES],
    /// Which chunks are in use: by small places for good, by a large one until it is freed.
    used: Vec<bool>,
    /// Which free chunks may have memory.
    kept: Vec<bool>,
    kept_count: usize,
}

/// The place of one request, which is free again when this is dropped.
pub struct Allocation {
    owner: Arc<RequestHeap>,
    offset: usize,
    len: usize,
}

fn class(len: usize) -> Option<usize> {
    let size = len.next_power_of_two().max(SMALLEST);
    (size <= CHUNK_BYTES).then(|| (size / SMALLEST).ilog2() as usize)
}

impl RequestHeap {
    /// No requests, and the file for them.
    ///
    /// # Errors
    /// If its address space cannot be had.
    pub fn new() -> io::Result<(Arc<Self>, OwnedFd)> {
        let file = file(c"polyloop-requests", CHUNKS * CHUNK_BYTES)?;
        let memory = Mapping::of(file.as_fd(), Access::Write)?;
        let mut used = vec![false; CHUNKS];
        // So that no address is 0.
        used[0] = true;
        let state = State {
            free: std::array::from_fn(|_| Vec::new()),
            used,
            kept: vec![false; CHUNKS],
            kept_count: 0,
        };
        Ok((Arc::new(Self { memory, state: Mutex::new(state) }), file))
    }

    /// A place for a request of n bytes, which say whatever the last request there left.
    ///
    /// # Errors
    /// If there is none.
    ///
    /// # Panics
    /// Never: the lock is not held across anything that panics.
    pub fn reserve(self: &Arc<Self>, len: usize) -> io::Result<Allocation> {
        let found = self.state.lock().unwrap().find(len);
        let offset = found.ok_or_else(|| io::Error::other("requests that are kept fill all places"))?;
        Ok(Allocation { owner: Arc::clone(self), offset, len })
    }

    /// Copies a request to a place of its own.
    ///
    /// # Errors
    /// If there is none.
    pub fn place(self: &Arc<Self>, request: &[u8]) -> io::Result<Allocation> {
        let allocation = self.reserve(request.len())?;
        // SAFETY: the place is ours alone and as long as the request. A request may lie in another
        // one, never in this.
        unsafe { std::ptr::copy_nonoverlapping(request.as_ptr(), allocation.as_ptr(), request.len()) };
        Ok(allocation)
    }
}

impl Allocation {
    /// Where the allocation lies in the file, never 0.
    pub fn address(&self) -> u64 {
        self.offset as u64
    }

    /// The first byte. As many as were asked for are the owner's alone until this is dropped;
    /// guests may read them.
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: the place lies in the mapping.
        unsafe { self.owner.memory.as_ptr().add(self.offset) }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let Self { owner, offset, len } = self;
        owner.state.lock().unwrap().free(*offset, *len, &owner.memory);
    }
}

impl State {
    fn find(&mut self, len: usize) -> Option<usize> {
        let Some(class) = class(len) else {
            return self.run(len.div_ceil(CHUNK_BYTES)).map(|chunk| chunk * CHUNK_BYTES);
        };
        if let Some(offset) = self.free[class].pop() {
            return Some(offset);
        }
        let start = self.run(1)? * CHUNK_BYTES;
        let size = SMALLEST << class;
        self.free[class].extend((size..CHUNK_BYTES).step_by(size).rev().map(|at| start + at));
        Some(start)
    }

    /// Free chunks in a row, now used: the first.
    fn run(&mut self, wanted: usize) -> Option<usize> {
        let mut run = 0;
        for chunk in 0..CHUNKS {
            run = if self.used[chunk] { 0 } else { run + 1 };
            if run == wanted {
                let range = chunk + 1 - wanted..=chunk;
                self.used[range.clone()].fill(true);
                self.kept_count -= self.kept[range.clone()].iter().filter(|kept| **kept).count();
                self.kept[range].fill(false);
                return Some(chunk + 1 - wanted);
            }
        }
        None
    }

    fn free(&mut self, offset: usize, len: usize, memory: &Mapping) {
        if let Some(class) = class(len) {
            self.free[class].push(offset);
            return;
        }
        let count = len.div_ceil(CHUNK_BYTES);
        let range = offset / CHUNK_BYTES..offset / CHUNK_BYTES + count;
        if self.kept_count + count <= KEPT_CHUNKS {
            self.kept[range.clone()].fill(true);
            self.kept_count += count;
        } else {
            memory.forget(offset, count * CHUNK_BYTES);
        }
        self.used[range].fill(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(heap: &RequestHeap, allocation: &Allocation) -> Vec<u8> {
        // SAFETY: the allocation lies in the mapping, and nobody writes.
        unsafe { std::slice::from_raw_parts(heap.memory.as_ptr().add(allocation.offset), allocation.len) }
            .to_vec()
    }

    #[test]
    fn requests_of_every_size_lie_apart_and_whole() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let sizes = [1, 8192, 8193, 100_000, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES, 4097, 1];
        let requests: Vec<Vec<u8>> = sizes.iter().zip(1..).map(|(size, seed)| vec![seed; *size]).collect();
        let placed: Vec<Allocation> = requests.iter().map(|request| heap.place(request).unwrap()).collect();
        for (request, allocation) in requests.iter().zip(&placed) {
            assert_ne!(allocation.address(), 0);
            assert_eq!(read(&heap, allocation), *request);
        }
    }

    #[test]
    fn what_is_written_to_a_place_is_read_at_its_address() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let (small, large) = (heap.reserve(0).unwrap(), heap.reserve(2 * CHUNK_BYTES + 1).unwrap());
        for (allocation, seed) in [(&small, 1), (&large, 2)] {
            // SAFETY: the place is the allocation's.
            unsafe { allocation.as_ptr().write_bytes(seed, allocation.len) };
        }
        assert_eq!(read(&heap, &large), vec![2; 2 * CHUNK_BYTES + 1]);
        assert_ne!(small.address(), 0);
    }

    #[test]
    fn a_place_that_is_free_again_is_the_next_ones_of_its_size() {
        let (heap, _file) = RequestHeap::new().unwrap();
        for size in [10_000, 3 * CHUNK_BYTES] {
            let first = heap.place(&vec![1; size]).unwrap();
            let address = first.address();
            drop(first);
            assert_eq!(heap.place(&vec![2; size]).unwrap().address(), address);
        }
    }

    #[test]
    fn the_memory_of_large_allocations_beyond_what_is_kept_is_given_back() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let placed: Vec<Allocation> =
            (0..3).map(|_| heap.place(&vec![7; KEPT_CHUNKS / 2 * CHUNK_BYTES]).unwrap()).collect();
        let places: Vec<usize> = placed.iter().map(|allocation| allocation.offset).collect();
        drop(placed);
        // SAFETY: within the mapping; nobody writes.
        let left = places.iter().filter(|at| unsafe { heap.memory.as_ptr().add(**at).read() } == 7);
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn no_place_is_no_panic() {
        let (heap, _file) = RequestHeap::new().unwrap();
        assert!(heap.state.lock().unwrap().find(CHUNKS * CHUNK_BYTES).is_none());
        assert!(heap.place(b"small").is_ok());
    }
}
