// SPDX-License-Identifier: Apache-2.0
//! The host's end of a connection whose guest has a process of its own.
//!
//! What the guest writes is not believed: a slab is lent by [`RemoteConnection::lend`] only if it
//! lies in the arena and is not lent already, and the payload of an entry is read within it.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError},
};

use polyloop_ring::{
    Layout,
    arena::HostEnd,
    region::Block,
    request_heap::{Allocation, RequestHeap},
    submission,
};

/// A connection as its host sees it.
pub struct RemoteConnection {
    block: Block,
    requests: Arc<RequestHeap>,
    responses: Arc<HostEnd>,
    files: Mutex<Option<[OwnedFd; 3]>>,
}

impl RemoteConnection {
    /// A connection for n calls in flight, without a guest yet, whose requests lie in memory that
    /// others may read, too.
    ///
    /// # Errors
    /// If its memory cannot be had.
    ///
    /// # Panics
    /// If `calls` is out of range.
    pub fn new(calls: usize, (requests, of_requests): (Arc<RequestHeap>, OwnedFd)) -> io::Result<Self> {
        let (block, file) = Block::shared(Layout::new(calls))?;
        let (responses, of_responses) = HostEnd::new()?;
        let files = Mutex::new(Some([file, of_requests, of_responses]));
        Ok(Self { block, requests, responses: Arc::new(responses), files })
    }

    /// The memory that host and guest share.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// What the guest's process inherits: block, requests, responses. Nothing once they were
    /// closed.
    pub fn files(&self) -> Option<[RawFd; 3]> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.as_ref().map(|files| files.each_ref().map(AsRawFd::as_raw_fd))
    }

    /// Copies of them, to be sent.
    ///
    /// # Errors
    /// If they were closed, or no descriptor is left.
    pub fn copy_files(&self) -> io::Result<[OwnedFd; 3]> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let [block, requests, responses] =
            files.as_ref().ok_or_else(|| io::Error::other("its process has them already"))?;
        Ok([block.try_clone()?, requests.try_clone()?, responses.try_clone()?])
    }

    /// The guest's process has them.
    pub fn close_files(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Copies a request to where the guest reads it.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn place(&self, request: &[u8]) -> io::Result<Allocation> {
        self.requests.place(request)
    }

    /// The memory of large responses, which may outlive the connection.
    pub fn responses(&self) -> &Arc<HostEnd> {
        &self.responses
    }

    /// Raises the stop: guest threads leave once the submission ring is empty.
    pub fn stop(&self) {
        submission::stop(self.block.rings().parking);
    }
}
