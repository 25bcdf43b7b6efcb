// SPDX-License-Identifier: Apache-2.0
//! Where requests lie that are too large for their request buffer, and whose guest has a process of
//! its own: the host copies them here, or has written them here in the first place, and the guest
//! reads them in place. So does a guest in the host's process with what was written here.
//!
//! One file in memory, which takes memory as it is touched, in chunks: small requests share some,
//! by the host's doing. An address is an offset in the file.

use std::{io, os::fd::OwnedFd, sync::Arc};

use crate::memory::{
    chunks::CHUNK_BYTES,
    reserve::{Reserve, chunks},
    space::set_aside,
};

/// Where the requests of one runtime lie, whichever of its instances they go to.
pub struct RequestHeap(Reserve);

/// The place of one request, which is free again when this is dropped.
pub struct Allocation {
    owner: Arc<RequestHeap>,
    first: usize,
    len: usize,
}

impl RequestHeap {
    /// No requests, and the file for them.
    ///
    /// # Errors
    /// If its address space cannot be had.
    pub fn new() -> io::Result<(Arc<Self>, OwnedFd)> {
        let (memory, file) = set_aside(c"polyloop-requests")?;
        let reserve = Reserve::new(memory);
        // So that no address is 0.
        reserve.claim(0..1);
        Ok((Arc::new(Self(reserve)), file))
    }

    /// A place for a request of n bytes, which say whatever the last request there left.
    ///
    /// # Errors
    /// If there is none: of the kind [`io::ErrorKind::FileTooLarge`] if there never is.
    pub fn reserve(self: &Arc<Self>, len: usize) -> io::Result<Allocation> {
        let first = self.0.find(chunks(len)).ok_or_else(|| self.refusal(len))?;
        Ok(Allocation { owner: Arc::clone(self), first, len })
    }

    fn refusal(&self, len: usize) -> io::Error {
        let most = self.0.memory().len() - CHUNK_BYTES;
        if len <= most {
            return io::Error::other("requests that are kept fill all places");
        }
        let why = format!(
            "{most} bytes of address space are set aside for all requests: raise its limit (ulimit -v, \
             LimitAS=), or send less at a time"
        );
        io::Error::new(io::ErrorKind::FileTooLarge, why)
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

    /// No request will come any more: what is in use stays, and nothing else.
    pub fn retire(&self) {
        self.0.retire();
    }
}

impl Allocation {
    /// Where the allocation lies in the file, never 0.
    pub fn address(&self) -> u64 {
        (self.first * CHUNK_BYTES) as u64
    }

    /// The first byte. As many as were asked for are the owner's alone until this is dropped;
    /// guests may read them.
    pub fn as_ptr(&self) -> *mut u8 {
        self.owner.0.at(self.first)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.owner.0.give_back(self.first..self.first + chunks(self.len), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::reserve::KEPT_BYTES;

    fn read(heap: &RequestHeap, allocation: &Allocation) -> Vec<u8> {
        let offset = usize::try_from(allocation.address()).unwrap();
        // SAFETY: the allocation lies in the mapping, and nobody writes.
        unsafe { std::slice::from_raw_parts(heap.0.memory().as_ptr().add(offset), allocation.len) }.to_vec()
    }

    #[test]
    fn requests_of_every_size_lie_apart_and_whole() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let sizes = [1, 8192, 8193, 100_000, CHUNK_BYTES, CHUNK_BYTES + 1, 50 * CHUNK_BYTES, 4097, 1];
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
    fn the_memory_of_allocations_beyond_what_is_kept_is_given_back() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let placed: Vec<Allocation> = (0..3).map(|_| heap.place(&vec![7; KEPT_BYTES / 2]).unwrap()).collect();
        let places: Vec<*mut u8> = placed.iter().map(Allocation::as_ptr).collect();
        drop(placed);
        // SAFETY: within the mapping; nobody writes.
        let left = places.iter().filter(|at| unsafe { at.read() } == 7);
        assert_eq!(left.count(), 2);
    }

    #[test]
    fn no_place_is_no_panic_and_says_what_there_is() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let whole = heap.0.memory().len();
        let error = heap.reserve(whole).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("ulimit -v"), "{error}");
        let most = heap.reserve(whole - CHUNK_BYTES).unwrap();
        assert!(heap.reserve(1).err().unwrap().to_string().contains("fill all places"));
        drop(most);
        assert!(heap.place(b"small").is_ok());
    }

    #[test]
    fn what_is_in_use_outlives_the_last_request() {
        let (heap, _file) = RequestHeap::new().unwrap();
        let kept = heap.place(b"kept").unwrap();
        heap.retire();
        assert_eq!(read(&heap, &kept), b"kept");
        assert!(heap.reserve(1).is_err());
    }
}
