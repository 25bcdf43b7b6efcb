// SPDX-License-Identifier: Apache-2.0
//! The interpreter, found or initialised, and its objects.

pub mod api;
pub mod interpreter;
pub mod object;
pub mod probe;
mod running;
