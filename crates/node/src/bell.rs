// SPDX-License-Identifier: Apache-2.0
//! The doorbell that guests in processes of their own ring: an eventfd, which they inherit, in the loop's epoll.

use std::{
    ffi::c_void,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use crate::uv;

/// An eventfd and the handle that watches it.
pub struct Bell {
    event: OwnedFd,
    pub handle: *mut uv::Handle,
}

impl Bell {
    /// Watches a new eventfd for the owner of `data`; it does not keep the loop alive.
    ///
    /// # Safety
    /// On the loop's own thread. The handle is closed before this is dropped.
    pub unsafe fn hang(
        uv_loop: *mut uv::Loop,
        data: *mut c_void,
        on_ring: uv::PollCallback,
    ) -> io::Result<Self> {
        // SAFETY: a system call; the descriptor that comes back is ours.
        let made = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        let event = unsafe { OwnedFd::from_raw_fd(made) };
        let handle = uv::allocate(uv::Type::Poll);
        // SAFETY: a handle of the right size on the loop's thread, says the caller.
        let status = unsafe { uv::uv_poll_init(uv_loop, handle, event.as_raw_fd()) };
        if status != 0 {
            // SAFETY: libuv did not take it.
            unsafe { uv::free(handle, uv::Type::Poll) };
            return Err(io::Error::from_raw_os_error(-status));
        }
        // SAFETY: the handle is open.
        unsafe {
            uv::uv_unref(handle);
            uv::uv_handle_set_data(handle, data);
            uv::uv_poll_start(handle, uv::READABLE, on_ring);
        }
        Ok(Self { event, handle })
    }

    pub fn descriptor(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Reads the count, so that the loop can sleep again.
    pub fn quiet(&self) {
        let mut count = 0u64;
        // SAFETY: our own descriptor, which does not block, and room for its count.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}
