// SPDX-License-Identifier: Apache-2.0
//! Mapped memory, and the block that the rings of a connection live in.
#![expect(clippy::cast_ptr_alignment, reason = "offsets of a Layout are aligned, asserted by its tests")]

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::NonNull,
    slice,
    sync::{Arc, OnceLock},
};

use crate::{
    Rings,
    entry::Entry,
    layout::{Constants, Header, Layout, MAGIC, MAX_SLOTS, REQUEST_BYTES, RESPONSE_BYTES, VERSION},
};

/// What is forbidden of a file in memory: to change its length, and to forbid more.
const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

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
        Self::map(None, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Maps a file in memory, which other processes map, too.
    ///
    /// # Errors
    /// What mmap says, that the file is empty, and that its length may be changed by others.
    pub fn of(file: BorrowedFd<'_>, access: Access) -> io::Result<Self> {
        // A page that somebody has taken away would end the process that touches it.
        if !is_sealed(file) {
            return Err(io::Error::other(
                "memory that others have made is refused: its file is not sealed, as those of Polyloop are",
            ));
        }
        let len = file_len(file)?;
        // The page of an empty file would be mapped all the same, and reading it would end the
        // process.
        if len == 0 {
            return Err(io::Error::other("the file is too short: it is empty"));
        }
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        Self::map(Some(file), len, protection)
    }

    fn map(file: Option<BorrowedFd<'_>>, len: usize, protection: i32) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(4096);
        let shared = if file.is_some() { libc::MAP_SHARED } else { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS };
        // SAFETY: a new mapping without an address does not touch existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                shared | libc::MAP_NORESERVE,
                file.map_or(-1, |file| file.as_raw_fd()),
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

    /// Gives the memory of a part back, which then reads as zeros. Of a file only if it is mapped
    /// to be written.
    ///
    /// # Panics
    /// If the part does not lie in the mapping.
    pub fn forget(&self, offset: usize, len: usize) {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: the part lies in the mapping, whose users gave it up. The first is for files, the
        // second for what is none. If both fail, the memory stays, which harms nobody.
        unsafe {
            let start = self.as_ptr().add(offset).cast();
            if libc::madvise(start, len, libc::MADV_REMOVE) != 0 {
                libc::madvise(start, len, libc::MADV_DONTNEED);
            }
        }
    }

    /// Gives the address space of a part back. `false`: the part is still mapped.
    ///
    /// # Safety
    /// Nobody uses the part, which is mapped, and the mapping is never dropped.
    ///
    /// # Panics
    /// If the part does not lie in the mapping.
    pub(crate) unsafe fn unmap(&self, offset: usize, len: usize) -> bool {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len));
        // SAFETY: the part lies in the mapping, and nobody uses it, promises the caller.
        unsafe { libc::munmap(self.as_ptr().add(offset).cast(), len) == 0 }
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

/// What a mapping of a file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The memory is read.
    Read,
    /// The memory is read and written.
    Write,
}

/// Makes a file in memory of `len` bytes. Such a file has no name that others could open it by,
/// takes memory as it is touched, and nobody can change its length: who maps the file never finds a
/// page missing.
///
/// # Errors
/// What the kernel says.
pub fn file(name: &CStr, len: usize) -> io::Result<OwnedFd> {
    // SAFETY: a C string; the descriptor that comes back is ours.
    let made = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let made = unsafe { OwnedFd::from_raw_fd(made) };
    let len = i64::try_from(len.next_multiple_of(4096)).map_err(io::Error::other)?;
    // SAFETY: system calls on our own descriptor.
    let done = unsafe {
        libc::ftruncate(made.as_raw_fd(), len) == 0
            && libc::fcntl(made.as_raw_fd(), libc::F_ADD_SEALS, SEALS) == 0
    };
    if done { Ok(made) } else { Err(io::Error::last_os_error()) }
}

/// Whether nobody can change the file's length any more.
fn is_sealed(file: BorrowedFd<'_>) -> bool {
    // SAFETY: a system call. What is no file in memory has no seals, and fails.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & SEALS == SEALS
}

fn file_len(file: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: a stat is plain numbers, which fstat fills.
    let (done, stat) = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(file.as_raw_fd(), &raw mut stat), stat)
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    usize::try_from(stat.st_size).map_err(io::Error::other)
}

/// The words by which the threads of one guest wait if that guest serves several blocks. Of a
/// header's words the others are not used.
pub struct ParkingWords(Mapping);

impl ParkingWords {
    /// Fresh words, and their file.
    ///
    /// # Errors
    /// If its memory cannot be had or mapped.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let file = file(c"polyloop-parking", size_of::<Header>())?;
        let memory = Mapping::of(file.as_fd(), Access::Write)?;
        // SAFETY: the mapping is page-aligned, as large as a header, and nobody else knows it yet.
        unsafe { memory.as_ptr().cast::<Header>().write(Header::new(Constants::default())) };
        Ok((Self(memory), file))
    }

    /// The words that another process has made.
    ///
    /// # Errors
    /// If the file cannot be mapped, or is too short.
    pub fn attach(file: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = Mapping::of(file, Access::Write)?;
        if memory.len() < size_of::<Header>() {
            return Err(io::Error::other("the file is too short for parking words"));
        }
        Ok(Self(memory))
    }

    /// Its words.
    pub fn header(&self) -> &Header {
        // SAFETY: the mapping is page-aligned and as large as a header, all of whose words are
        // atomic but the constants, which nobody writes any more.
        unsafe { &*self.0.as_ptr().cast::<Header>() }
    }

    /// Its memory.
    pub fn memory(&self) -> &Mapping {
        &self.0
    }
}

/// The block of a connection: header, rings, payload slots.
pub struct Block {
    memory: Mapping,
    constants: Constants,
    parking: OnceLock<Arc<ParkingWords>>,
}

impl Block {
    /// A fresh block.
    ///
    /// # Errors
    /// If its memory cannot be mapped.
    pub fn new(layout: Layout) -> io::Result<Self> {
        let constants = layout.constants();
        Ok(Self::begin(Mapping::new(constants.total as usize)?, constants))
    }

    /// A fresh block in a file, which the guest's process maps by [`Block::attach`].
    ///
    /// # Errors
    /// If its memory cannot be had or mapped.
    pub fn shared(layout: Layout) -> io::Result<(Self, OwnedFd)> {
        let constants = layout.constants();
        let file = file(c"polyloop-block", constants.total as usize)?;
        let memory = Mapping::of(file.as_fd(), Access::Write)?;
        Ok((Self::begin(memory, constants), file))
    }

    /// The block that another process has made.
    ///
    /// # Errors
    /// If the file cannot be mapped, or holds no block of this layout.
    pub fn attach(file: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = Mapping::of(file, Access::Write)?;
        if memory.len() < size_of::<Header>() {
            return Err(io::Error::other("the file is too short for a block"));
        }
        // SAFETY: the mapping is page-aligned and larger than a header, whose constants nobody
        // writes any more.
        let constants = unsafe { memory.as_ptr().cast::<Constants>().read() };
        let slots = constants.slots as usize;
        let known =
            constants.magic == MAGIC && constants.version == VERSION && (1..=MAX_SLOTS).contains(&slots);
        if !known || Layout::new(slots).constants() != constants || memory.len() < constants.total as usize {
            return Err(io::Error::other(
                "the host and the guest are of different versions: build both again",
            ));
        }
        Ok(Self { memory, constants, parking: OnceLock::new() })
    }

    fn begin(memory: Mapping, constants: Constants) -> Self {
        // SAFETY: the mapping is page-aligned, larger than a header, and nobody else knows it yet.
        unsafe { memory.as_ptr().cast::<Header>().write(Header::new(constants)) };
        Self { memory, constants, parking: OnceLock::new() }
    }

    /// Has the guest's threads wait by these words, before the first submission. `false`: they do
    /// already.
    pub fn park_at(&self, parking: Arc<ParkingWords>) -> bool {
        self.parking.set(parking).is_ok()
    }

    /// Sizes and offsets.
    pub fn constants(&self) -> &Constants {
        &self.constants
    }

    /// The memory that the host maps.
    pub fn memory(&self) -> &Mapping {
        &self.memory
    }

    fn byte(&self, offset: u32) -> *mut u8 {
        debug_assert!(offset < self.constants.total);
        // SAFETY: offsets come from the layout or are checked against it, and lie in the mapping.
        unsafe { self.memory.as_ptr().add(offset as usize) }
    }

    /// Header and rings.
    pub fn rings(&self) -> Rings<'_> {
        let c = &self.constants;
        // SAFETY: a Header was written at 0, and the layout lays the rings out aligned and in
        // bounds; zeroed memory is a valid Entry; everything in them is atomic, so shared
        // references are sound, and they cannot outlive the mapping. The counts are this process's
        // own copy, which nobody that shares the memory can change.
        unsafe {
            let header = &*self.memory.as_ptr().cast::<Header>();
            Rings {
                header,
                parking: self.parking.get().map_or(header, |parking| parking.header()),
                sq: slice::from_raw_parts(self.byte(c.sq_offset).cast::<Entry>(), c.sq_entries as usize),
                cq: slice::from_raw_parts(self.byte(c.cq_offset).cast::<Entry>(), c.cq_entries as usize),
                control: slice::from_raw_parts(
                    self.byte(c.control_offset).cast::<Entry>(),
                    c.control_entries as usize,
                ),
            }
        }
    }

    /// The request payload of a request buffer, [`REQUEST_BYTES`] long.
    ///
    /// # Panics
    /// If there is no such request buffer.
    pub fn request(&self, buffer: u32) -> *mut u8 {
        assert!(buffer < self.constants.request_buffers);
        self.byte(self.constants.requests_offset + buffer * REQUEST_BYTES as u32)
    }

    /// The response payload of a slot, [`RESPONSE_BYTES`] long.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn response(&self, slot: u32) -> *mut u8 {
        assert!(slot < self.constants.slots);
        self.byte(self.constants.responses_offset + slot * RESPONSE_BYTES as u32)
    }

    /// The byte that says whether the host keeps a request buffer's request pinned.
    ///
    /// # Panics
    /// If there is no such request buffer.
    pub fn pin(&self, buffer: u32) -> *mut u8 {
        assert!(buffer < self.constants.request_buffers);
        self.byte(self.constants.pins_offset + buffer)
    }
}
