// SPDX-License-Identifier: Apache-2.0
//! One task in the guest's hands, from its request to its answer.

pub mod call;
pub mod current;
pub mod panics;
pub mod reply;
pub mod request_stream;
pub mod response_stream;
pub mod watch;

#[cfg(not(feature = "opentelemetry"))]
#[path = "task/no_trace.rs"]
pub mod trace;
#[cfg(feature = "opentelemetry")]
pub mod trace;
