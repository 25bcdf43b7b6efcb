// SPDX-License-Identifier: Apache-2.0
//! The process that a guest lives in.

mod lifeline;
mod serve;
mod shared;

use std::{io, os::fd::RawFd};

use polyloop_process::{ignore_here_alone, ignore_interrupt};

use crate::descriptors::FIRST;

/// Serves the host that has started this process, or several that others send here.
pub fn serve() -> io::Result<()> {
    ignore_here_alone();
    ignore_interrupt();
    if is_socket(FIRST) { shared::serve() } else { serve::serve_one() }
}

fn is_socket(descriptor: RawFd) -> bool {
    // SAFETY: a stat is plain numbers, which fstat fills.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(descriptor, &raw mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFSOCK
    }
}
