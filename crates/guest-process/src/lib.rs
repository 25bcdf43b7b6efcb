// SPDX-License-Identifier: Apache-2.0
//! Serves a guest in a process of its own.
//!
//! The host starts this process with five descriptors and speaks to it over the last of them, the
//! lifeline: first, as a line of JSON, what to load, at the end `close`. The host hears `hello`,
//! `ready`, `failed`, `died` and `closed`, in a line of JSON each. If the lifeline breaks, the host
//! has gone, and this process goes, too. All else crosses through the memory that the others stand
//! for.
//!
//! The process is `polyloop-guest-process` if the guest is a library, and the guest's own
//! interpreter otherwise, which loads this library and calls [`polyloop_process_main`]. The parent of
//! either is a guard, which the host starts, or the broker of a guest that several hosts share.

use std::ffi::OsString;

mod broker;
mod child;
mod descriptors;
mod guard;

/// Serves the guest that the host asks for until the host is done with it; the process's exit
/// status.
///
/// This function belongs to a process that the host has started for this, and is called once, from
/// any thread that may block.
#[unsafe(no_mangle)]
pub extern "C" fn polyloop_process_main() -> i32 {
    match child::serve() {
        Ok(()) => 0,
        Err(error) => {
            // What the system refuses the host explains.
            let advice =
                if error.raw_os_error().is_some() { "" } else { "; it is started by the host alone" };
            eprintln!("polyloop: this process cannot serve a guest: {error}{advice}");
            70
        }
    }
}

/// Brokers a guest that several hosts share; the broker's exit status. `arguments`: the
/// milliseconds that the guest has to end, the path of the socket where hosts find it, the program
/// that serves it, and that program's arguments. The broker's standard input is that socket, or one
/// to the only host.
///
/// This function belongs to a process that a host has started for this, and is called once.
pub fn run_broker(arguments: &[OsString]) -> i32 {
    match broker::run(arguments) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("polyloop: this process cannot broker a guest: {error}; it is started by a host alone");
            70
        }
    }
}

/// Guards a process, so that nothing is left of it when its host ends; the guard's exit status. `arguments`: the
/// program, and its arguments.
pub fn run_guard(arguments: &[OsString]) -> i32 {
    match guard::run(arguments) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("polyloop: this process cannot guard another: {error}; it is started by a host alone");
            70
        }
    }
}

/// Brokers as [`run_broker`] does, in a process that is left behind: this one's exit status comes at once, the number of the error if
/// there can be none. Only a process
/// with one thread may call it.
pub fn start_broker(arguments: &[OsString]) -> i32 {
    match broker::detach() {
        Ok(true) => run_broker(arguments),
        Ok(false) => 0,
        // The host knows what the system says.
        Err(error) => error.raw_os_error().unwrap_or(libc::EAGAIN),
    }
}
