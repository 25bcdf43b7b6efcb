// SPDX-License-Identifier: Apache-2.0
//! The process of a guest that is a shared library.

fn main() {
    std::process::exit(polyloop_process::polyloop_process_main());
}
