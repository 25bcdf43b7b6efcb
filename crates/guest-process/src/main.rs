// SPDX-License-Identifier: Apache-2.0
//! The process of a guest that is a shared library, and the keeper of one that several hosts share.

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    std::process::exit(match arguments.split_first() {
        Some((verb, rest)) if verb == "keep" => polyloop_guest_process::keep(rest),
        _ => polyloop_guest_process::polyloop_process_main(),
    });
}
