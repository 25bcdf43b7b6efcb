// SPDX-License-Identifier: Apache-2.0
//! The doorbell that a guest in a process of its own rings: a pipe, whose far end it inherits, in
//! the loop's epoll.
//!
//! One for each guest, and no eventfd: whoever has one of those can read it, and so take what
//! another has rung, and can change whether reading it blocks. What is done to the far end of a
//! pipe is not seen at the near one.

use std::{
    ffi::{c_int, c_void},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use crate::uv;

/// A pipe and the handle that watches its near end.
pub struct Bell {
    handle: *mut uv::Handle,
    /// Until the guest's process has the far end.
    far: Option<OwnedFd>,
}

impl Bell {
    /// Watches a new pipe, which does not keep the loop alive.
    ///
    /// # Safety
    /// The caller is the loop's own thread, and the loop goes on until it has closed the handle,
    /// which the drop asks of it, there too.
    pub unsafe fn hang(uv_loop: *mut uv::Loop) -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: a system call that fills the array.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both descriptors were just made and are ours.
        let [near, far] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let handle = uv::allocate(uv::Type::Poll);
        // SAFETY: a handle of the right size on the loop's thread, says the caller.
        let status = unsafe { uv::uv_poll_init(uv_loop, handle, near.as_raw_fd()) };
        if status != 0 {
            // SAFETY: libuv did not take the handle.
            unsafe { uv::free(handle, uv::Type::Poll) };
            return Err(io::Error::from_raw_os_error(-status));
        }
        // SAFETY: the handle is open; the near end is freed when it is closed.
        unsafe {
            uv::uv_unref(handle);
            uv::uv_handle_set_data(handle, Box::into_raw(Box::new(near)).cast());
            uv::uv_poll_start(handle, uv::READABLE, on_ring);
        }
        Ok(Self { handle, far: Some(far) })
    }

    /// The end that the guest's process inherits.
    pub fn far(&self) -> Option<RawFd> {
        self.far.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// A copy of the far end, to be sent.
    pub fn copy_far(&self) -> io::Result<OwnedFd> {
        self.far.as_ref().ok_or_else(|| io::Error::other("its process has it already"))?.try_clone()
    }

    /// The guest's process has the far end.
    pub fn close_far(&mut self) {
        self.far = None;
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // SAFETY: an open handle, on the loop's thread.
        unsafe { uv::uv_close(self.handle, Some(on_close)) };
    }
}

/// Reads what was rung, so that the loop can sleep again; the hub drains before that.
extern "C" fn on_ring(handle: *mut uv::Handle, status: c_int, _events: c_int) {
    /// What is left wakes the loop again: a guest that rings without end gets no more of a turn
    /// than this.
    const MOST: usize = 4096;
    let mut rung = [0u8; MOST];
    // SAFETY: the handle's data is its near end, which does not block, and there is room for what
    // is read.
    let read = unsafe {
        let near = &*uv::uv_handle_get_data(handle).cast::<OwnedFd>();
        libc::read(near.as_raw_fd(), rung.as_mut_ptr().cast::<c_void>(), MOST)
    };
    // Nobody has the far end any more: the near one would be readable for good.
    if status < 0 || read == 0 {
        // SAFETY: an open handle, on the loop's thread.
        unsafe { uv::uv_poll_stop(handle) };
    }
}

extern "C" fn on_close(handle: *mut uv::Handle) {
    // SAFETY: libuv is done with the handle, which was made by `hang` with this data.
    unsafe {
        drop(Box::from_raw(uv::uv_handle_get_data(handle).cast::<OwnedFd>()));
        uv::free(handle, uv::Type::Poll);
    }
}
