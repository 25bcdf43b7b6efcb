// SPDX-License-Identifier: Apache-2.0
//! One task, from its request to its answer.

pub mod codec;
pub mod invoke;
pub mod plan;
pub mod request;
pub mod token;
mod watch;
