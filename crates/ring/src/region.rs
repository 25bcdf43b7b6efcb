// SPDX-License-Identifier: Apache-2.0
//! Mapped memory, and the block that a runtime's rings live in.
#![expect(clippy::cast_ptr_alignment, reason = "offsets of a Layout are aligned, asserted by its tests")]

use std::{io, ptr::NonNull, slice};

use crate::{
    Rings,
    entry::Entry,
    layout::{Constants, Header, Layout, REQUEST_BYTES, RESPONSE_BYTES},
};

/// A run of zeroed pages, unmapped on drop.
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a Mapping owns its pages; who reads and writes them when is its users' protocol.
unsafe impl Send for Mapping {}
// SAFETY: as above; the methods only hand out the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes, rounded up to pages; pages take memory when they are first touched.
    ///
    /// # Errors
    /// What mmap says, out of memory above all.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(4096);
        // SAFETY: a new private mapping without an address does not touch existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast())
            .map(|start| Self { start, len })
            .ok_or_else(|| io::Error::other("mapped at 0"))
    }

    /// First byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.len
    }

    /// A mapping is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the pages are this mapping's own, and nobody holds the Mapping any more.
        unsafe { libc::munmap(self.as_ptr().cast(), self.len) };
    }
}

/// The block of a runtime: header, rings, payload slots.
pub struct Block {
    memory: Mapping,
    constants: Constants,
}

impl Block {
    /// A fresh block.
    ///
    /// # Errors
    /// Where its memory cannot be mapped.
    pub fn new(layout: Layout) -> io::Result<Self> {
        let constants = layout.constants();
        let memory = Mapping::new(constants.total as usize)?;
        // SAFETY: the mapping is page-aligned, larger than a header, and nobody else knows it yet.
        unsafe { memory.as_ptr().cast::<Header>().write(Header::new(constants)) };
        Ok(Self { memory, constants })
    }

    /// Sizes and offsets.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// The memory that the host maps.
    pub fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn at(&self, offset: u32) -> *mut u8 {
        debug_assert!(offset < self.constants.total);
        // SAFETY: offsets come from the layout or are checked against it, and lie in the mapping.
        unsafe { self.memory.as_ptr().add(offset as usize) }
    }

    /// Header and rings.
    pub fn rings(&self) -> Rings<'_> {
        let c = &self.constants;
        // SAFETY: Block::new wrote a Header at 0 and laid the rings out aligned and in bounds; zeroed
        // memory is a valid Entry; everything in them is atomic, so shared references are sound, and
        // they cannot outlive the mapping. The counts are this process's own copy, which nobody
        // that shares the memory can change.
        unsafe {
            Rings {
                header: &*self.memory.as_ptr().cast::<Header>(),
                sq: slice::from_raw_parts(self.at(c.sq_offset).cast::<Entry>(), c.sq_entries as usize),
                cq: slice::from_raw_parts(self.at(c.cq_offset).cast::<Entry>(), c.cq_entries as usize),
                control: slice::from_raw_parts(
                    self.at(c.control_offset).cast::<Entry>(),
                    c.control_entries as usize,
                ),
            }
        }
    }

    /// The request payload of a carrier, [`REQUEST_BYTES`] long.
    ///
    /// # Panics
    /// Where there is no such carrier.
    pub fn request(&self, carrier: u32) -> *mut u8 {
        assert!(carrier < self.constants.carriers);
        self.at(self.constants.requests_offset + carrier * REQUEST_BYTES as u32)
    }

    /// The response payload of a slot, [`RESPONSE_BYTES`] long.
    ///
    /// # Panics
    /// Where there is no such slot.
    pub fn response(&self, slot: u32) -> *mut u8 {
        assert!(slot < self.constants.slots);
        self.at(self.constants.responses_offset + slot * RESPONSE_BYTES as u32)
    }

    /// The byte that says whether the host keeps a carrier's request pinned.
    ///
    /// # Panics
    /// Where there is no such carrier.
    pub fn pin(&self, carrier: u32) -> *mut u8 {
        assert!(carrier < self.constants.carriers);
        self.at(self.constants.pins_offset + carrier)
    }
}
