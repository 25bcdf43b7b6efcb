// SPDX-License-Identifier: Apache-2.0
//! Where the requests of a runtime lie that guests read in place, whichever of its instances they
//! go to.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use polyloop_ring::request_heap::{Allocation, RequestHeap};

use crate::pins::Pin;

/// As the instances of a runtime have it in common.
pub struct Requests {
    place: Place,
    /// What guests that are out of reach may read.
    stray: Mutex<Vec<Pin>>,
}

enum Place {
    /// Guests are in this process, and read them at their address here. There is none until one is
    /// asked for.
    Here(OnceLock<Arc<RequestHeap>>),
    /// Guests are in processes of their own, which map the file, and find them at their offset
    /// there.
    Shared(Arc<RequestHeap>, OwnedFd),
}

impl Requests {
    /// Memory for requests.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(process: bool) -> io::Result<Self> {
        let place = if process {
            let (heap, file) = RequestHeap::new()?;
            Place::Shared(heap, file)
        } else {
            Place::Here(OnceLock::new())
        };
        Ok(Self { place, stray: Mutex::default() })
    }

    /// A place for a request that JavaScript is going to write, and where guests find it.
    ///
    /// # Errors
    /// If there is none.
    pub fn reserve(&self, len: usize) -> io::Result<(Allocation, u64)> {
        match &self.place {
            Place::Here(heap) => {
                let heap = if let Some(heap) = heap.get() {
                    heap
                } else {
                    // Nobody else maps the file.
                    let (new, _) = RequestHeap::new()?;
                    heap.get_or_init(|| new)
                };
                let allocation = heap.reserve(len)?;
                let address = allocation.as_ptr() as u64;
                Ok((allocation, address))
            }
            Place::Shared(heap, _) => {
                let allocation = heap.reserve(len)?;
                let address = allocation.address();
                Ok((allocation, address))
            }
        }
    }

    /// The same memory for one more process, and the file that it maps.
    ///
    /// # Errors
    /// If guests are in this process, or no descriptor is left.
    pub fn share(&self) -> io::Result<(Arc<RequestHeap>, OwnedFd)> {
        match &self.place {
            Place::Here(_) => Err(io::Error::other("the guests of this runtime are in this process")),
            Place::Shared(heap, file) => Ok((Arc::clone(heap), file.try_clone()?)),
        }
    }

    /// Keeps requests from making room for others.
    pub fn keep(&self, requests: impl Iterator<Item = Pin>) {
        self.stray.lock().unwrap_or_else(PoisonError::into_inner).extend(requests);
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let heap = match &self.place {
            Place::Here(heap) => heap.get(),
            Place::Shared(heap, _) => Some(heap),
        };
        // What JavaScript has of it outlives this.
        if let Some(heap) = heap {
            heap.retire();
        }
    }
}
