// SPDX-License-Identifier: Apache-2.0
//! The process that a guest lives in.

mod lifeline;
mod serve;
mod shared;

use std::{io, os::fd::RawFd};

use crate::descriptors::FIRST;

/// Serves the host that has started this process, or several that others send here.
pub fn serve() -> io::Result<()> {
    follow_the_host();
    if is_socket(FIRST) { shared::serve() } else { serve::serve_one() }
}

fn is_socket(descriptor: RawFd) -> bool {
    // SAFETY: a stat is plain numbers, which fstat fills.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(descriptor, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}

/// Has the kernel end this process with its host, and makes it the first of a group of its own:
/// what is typed at a terminal is the host's to hear.
fn follow_the_host() {
    // SAFETY: system calls on this process alone. A host that is gone already has broken the line.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setpgid(0, 0);
    }
}
