// SPDX-License-Identifier: Apache-2.0
//! Node resolves the add-on's symbols; guest threads may outlive the environment that loaded it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
