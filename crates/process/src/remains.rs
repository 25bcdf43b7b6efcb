// SPDX-License-Identifier: Apache-2.0
//! Ends what processes have left.

use std::collections::HashSet;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::table::{Entry, entries};

/// Kills the children of this process, which nobody else may reap; whether there are any whose end is to be waited
/// for. `spares`: not those that withstand SIGTERM, which clean up after the others, as the resource tracker of Python's
/// multiprocessing does with what stands in /dev/shm.
pub fn kill_children(spares: bool) -> bool {
    let own = Pid::this();
    let mut any = false;
    for child in entries().filter(|entry| entry.parent == own) {
        // A program of another user cannot be killed.
        any |= spares && child.withstands_end() || kill(child.pid, Signal::SIGKILL).is_ok();
    }
    any
}

/// Kills what is left of a session, whose first process has ended and is not reaped yet: the number is still its own.
pub fn kill_session(session: Pid) {
    let mut known = HashSet::from([session]);
    loop {
        let left = entries().filter(|entry| entry.session == session);
        let fresh: Vec<_> = left.filter(|entry| known.insert(entry.pid)).collect();
        if fresh.is_empty() {
            return;
        }
        fresh.iter().for_each(kill_one);
    }
}

/// Kills a process that others may reap at any time, and nothing that has got its number since.
fn kill_one(entry: &Entry) {
    let Some(pid) = rustix::process::Pid::from_raw(entry.pid.as_raw()) else { return };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => {
            if Entry::of(entry.pid).is_some_and(|now| now.session == entry.session) {
                // It may have ended, or belong to another user.
                let _ = pidfd_send_signal(process, rustix::process::Signal::KILL);
            }
        }
        // Linux before 5.3.
        Err(rustix::io::Errno::NOSYS) => drop(kill(entry.pid, Signal::SIGKILL)),
        Err(_) => {}
    }
}
