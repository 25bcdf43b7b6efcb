// SPDX-License-Identifier: Apache-2.0
//! The memory of requests and items.

use super::State;
use std::ptr;

/// A request in pages of its own, so that touching it afterwards is a fault.
pub struct Page {
    pub data: *mut u8,
    len: usize,
    pub held: bool,
    pub answered: bool,
    /// The task whose item this is.
    pub owner: Option<u64>,
}

impl Page {
    pub fn new(bytes: &[u8]) -> Self {
        let len = bytes.len().max(1);
        // SAFETY: a fresh anonymous mapping, as large as what is copied into it.
        let data = unsafe {
            let (access, kind) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let data: *mut u8 = libc::mmap(ptr::null_mut(), len, access, kind, -1, 0).cast();
            ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            libc::mprotect(data.cast(), len, libc::PROT_READ);
            data
        };
        Self { data, len, held: false, answered: false, owner: None }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Kept mapped without access: the address must not come back as something else.
        // SAFETY: the mapping made in `new`.
        unsafe { libc::mprotect(self.data.cast(), self.len, libc::PROT_NONE) };
    }
}

impl State {
    /// Puts a request, or an item of the task `owner`, into pages of its own.
    pub fn page(&mut self, bytes: &[u8], owner: Option<u64>) -> (u64, *const u8) {
        self.next += 1;
        let mut page = Page::new(bytes);
        page.owner = owner;
        let data = page.data.cast_const();
        self.pages.insert(self.next, page);
        (self.next, data)
    }

    /// Takes a request's memory back, unless it is held.
    pub fn end(&mut self, id: u64) {
        let page = self.pages.get_mut(&id).expect("in flight");
        assert!(!page.answered, "task {id} answered twice");
        page.answered = true;
        if !page.held {
            self.pages.remove(&id);
        }
    }
}
