// SPDX-License-Identifier: Apache-2.0
//! The descriptors that this process is started with.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// The first descriptor beyond the standard streams.
pub const FIRST: RawFd = 3;

/// Where the process of a guest that several hosts share finds its parking words.
pub const PARKING: RawFd = FIRST + 1;

/// Bytes of a packet that says why a host cannot be served.
pub const REFUSAL: usize = 1024;

/// Takes a descriptor over, which programs that this process starts do not get.
///
/// # Errors
/// If there is none.
///
/// # Safety
/// Nothing else in this process uses the descriptor.
pub unsafe fn take(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a system call on a number; the caller promises that the descriptor is nobody else's.
    unsafe {
        if libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) != 0 {
            return Err(io::Error::other(format!("descriptor {descriptor} was not inherited")));
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}
