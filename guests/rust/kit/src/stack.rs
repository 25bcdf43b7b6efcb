// SPDX-License-Identifier: Apache-2.0
//! The stack of threads that run the guest's functions.

/// What the main thread of a program usually has: four times what Rust gives other threads. What
/// recurses so deeply must not end the host.
const USUAL: usize = 8 << 20;

/// Bytes of a thread's stack: `RUST_MIN_STACK` if that is set, as for any thread of Rust.
pub fn size() -> usize {
    let wanted = std::env::var("RUST_MIN_STACK").ok();
    wanted.and_then(|bytes| bytes.parse().ok()).unwrap_or(USUAL)
}
