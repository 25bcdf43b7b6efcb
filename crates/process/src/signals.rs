// SPDX-License-Identifier: Apache-2.0
//! Signals that do nothing in this process, and in programs that it starts what they do in any program: a program
//! inherits that a signal is ignored, and no handler.

use std::{mem, ptr};

use libc::c_int;

extern "C" fn do_nothing(_: c_int) {}

/// Has what runtimes ignore for themselves (Rust's, Node.js, Python) do nothing, if this process ignores it: programs
/// take it then as any program does.
pub fn ignore_here_alone() {
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        do_nothing_on(signal, libc::SIG_IGN);
    }
}

/// Has an interrupt do nothing in this process, unless somebody handles it: who interrupts all the processes of a
/// program means the one that decides what becomes of this one.
pub fn ignore_interrupt() {
    do_nothing_on(libc::SIGINT, libc::SIG_DFL);
}

/// Has a signal do nothing if it is taken in this way now.
fn do_nothing_on(signal: c_int, now: libc::sighandler_t) {
    // SAFETY: system calls on structures of numbers, for which zeros are valid; the handler does nothing.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        if libc::sigaction(signal, ptr::null(), &raw mut action) != 0 || action.sa_sigaction != now {
            return;
        }
        action = mem::zeroed();
        action.sa_sigaction = do_nothing as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_broken_pipe_is_an_error_here_and_ends_programs() {
        ignore_here_alone();
        let (read, mut write) = std::io::pipe().unwrap();
        drop(read);
        assert_eq!(write.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        // Rust would reset the signal by itself.
        let look = c"exec grep -q '^SigIgn:.*0000$' /proc/self/status";
        // SAFETY: a C string.
        assert_eq!(unsafe { libc::system(look.as_ptr()) }, 0);
    }
}
