// SPDX-License-Identifier: Apache-2.0
//! How a broker leaves the host that has started it, and what it takes along.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use rustix::io::fcntl_dupfd_cloexec;

use crate::descriptors::FIRST;

/// Goes on in a process of its own: in a session of its own, and no child of the host. `false`: in
/// the process that was started, which is to end.
pub fn detach() -> io::Result<bool> {
    // SAFETY: the process has one thread, so that its child may do whatever it may.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: system calls on this process alone. It leads no group, so that it may begin a
            // session; signals that the host does not hear are to be heard here.
            unsafe {
                libc::setsid();
                for signal in 1..32 {
                    libc::signal(signal, libc::SIG_DFL);
                }
                // As Rust has it: who writes to somebody who has gone hears of that otherwise.
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Takes over the socket that this process was started with, and nothing else of the host's: what
/// the host's libraries have left open would be open as long as the guest is there.
pub fn socket() -> io::Result<OwnedFd> {
    let last = libc::c_uint::MAX;
    // SAFETY: nothing in this process has opened anything yet. A kernel that cannot do that leaves
    // them open.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, last, 0) };
    let socket = fcntl_dupfd_cloexec(io::stdin().as_fd(), FIRST)?;
    let nothing = File::open("/dev/null")?;
    // SAFETY: a system call; the standard input is nobody else's.
    if unsafe { libc::dup2(nothing.as_raw_fd(), libc::STDIN_FILENO) } != libc::STDIN_FILENO {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}
