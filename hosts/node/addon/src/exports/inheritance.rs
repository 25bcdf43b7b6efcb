// SPDX-License-Identifier: Apache-2.0
//! What programs inherit that a guest on threads of this process starts. Those of Node.js get by themselves what is
//! theirs: libuv says it for each.

use napi_sys::{napi_env, napi_value};

use crate::napi::Result;

/// Has programs get the standard streams, and take signals as any program does. Node.js has its streams closed at exec:
/// a program then lacks them, and what it prints lands in the first files that it opens.
pub fn prepare() {
    for stream in 0..=2 {
        // SAFETY: system calls on a number; one that is closed stays so.
        unsafe {
            let flags = libc::fcntl(stream, libc::F_GETFD);
            if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
                libc::fcntl(stream, libc::F_SETFD, flags & !libc::FD_CLOEXEC);
            }
        }
    }
    polyloop_process::ignore_here_alone();
}

/// `handStreamsOn()`: the same, called by JavaScript if Node.js has opened a stream again, as it does with a terminal.
#[expect(clippy::unnecessary_wraps, reason = "the type of all exports")]
pub fn hand_streams_on(_: napi_env, []: [napi_value; 0]) -> Result<Option<napi_value>> {
    prepare();
    Ok(None)
}
