// SPDX-License-Identifier: Apache-2.0
//! From an envelope to Rust values: by a tree, in which tags are read and bytes are where they were.

mod build;
mod entries;
pub mod node;
mod read;
mod rows;
