// SPDX-License-Identifier: Apache-2.0
//! The process of a guest that is a shared library, the guard of any guest's process, and the broker of one that
//! several hosts share.

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(match arguments.split_first() {
        Some((verb, rest)) if verb == "broker" => polyloop_guest_process::run_broker(rest),
        Some((verb, rest)) if verb == "guard" => polyloop_guest_process::run_guard(rest),
        Some((verb, rest)) if verb == "start-broker" => polyloop_guest_process::start_broker(rest),
        _ => polyloop_guest_process::polyloop_process_main(),
    });
}
