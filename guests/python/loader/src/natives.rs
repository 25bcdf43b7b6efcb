// SPDX-License-Identifier: Apache-2.0
//! What the Python kit calls: the functions of its module `polyloop._native`.

pub mod current;
pub mod entry;
pub mod replaced;
pub mod streams;
pub mod table;
mod values;
