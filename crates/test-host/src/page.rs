// SPDX-License-Identifier: Apache-2.0
//! The memory of requests, items and contexts.

use std::ptr;

/// Bytes in pages of their own, so that touching them afterwards is a fault.
pub struct Page {
    data: *mut u8,
    len: usize,
    /// The guest goes on using the bytes beyond the answer.
    pub held: bool,
    /// The guest has answered the task, or given the item back.
    pub answered: bool,
    /// The task whose item this is.
    pub owner: Option<u64>,
}

// SAFETY: the pages belong to no thread, and nobody writes them.
unsafe impl Send for Page {}

impl Page {
    /// Copies `bytes`.
    ///
    /// # Panics
    /// If there is no memory.
    pub fn new(bytes: &[u8], owner: Option<u64>) -> Self {
        let len = bytes.len().max(1);
        // SAFETY: a fresh anonymous mapping, as large as what is copied into it.
        let data = unsafe {
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let data = libc::mmap(ptr::null_mut(), len, access, kind, -1, 0);
            assert_ne!(data, libc::MAP_FAILED, "there is no memory");
            let data: *mut u8 = data.cast();
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            libc::mprotect(data.cast(), len, libc::PROT_READ);
            data
        };
        Self { data, len, held: false, answered: false, owner }
    }

    /// Its first byte.
    pub fn as_ptr(&self) -> *const u8 {
        self.data
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Kept mapped without access: the address must not come back as something else.
        // SAFETY: the mapping made in `new`.
        unsafe { libc::mprotect(self.data.cast(), self.len, libc::PROT_NONE) };
    }
}
