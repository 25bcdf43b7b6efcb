// SPDX-License-Identifier: Apache-2.0
//! Between payloads and Rust values.

pub mod arguments;
pub mod bytes;
pub mod codec;
pub mod parameter;
