// SPDX-License-Identifier: Apache-2.0
//! The C border: opens libraries that export the guest ABI, and gives them the table of host
//! functions.

mod guest;
mod host;

pub use guest::open;
pub use host::host;
