// SPDX-License-Identifier: Apache-2.0
//! Every public function of the module below is one that the host can call.

#[polyloop::guest]
mod hello {
    pub fn greet(name: &str) -> String {
        format!("Hello, {name}, from Rust!")
    }
}
