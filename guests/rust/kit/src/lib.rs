// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../../README.md")]

// The layers, top down: `guest` starts and serves the functions of its table, `method`; `call` is one task, `current` the one that a thread runs; `request_stream`
// and `response_stream` are its streams; `arguments`, `parameter` and `reply` stand between payloads and Rust values; `watch`
// hears of events; `runtime` is the host as this library sees it.
mod arguments;
mod bytes;
mod call;
mod codec;
mod current;
mod error;
mod guest;
mod method;
mod output;
mod panics;
mod parameter;
mod reply;
mod request_stream;
mod response_stream;
mod runtime;
mod watch;

#[cfg(feature = "tokio")]
mod executor;
#[cfg(not(feature = "tokio"))]
#[path = "no_executor.rs"]
mod executor;

#[cfg(feature = "log")]
pub mod logger;

#[cfg(not(feature = "opentelemetry"))]
#[path = "no_trace.rs"]
mod trace;
#[cfg(feature = "opentelemetry")]
mod trace;

pub use bytes::Bytes;
pub use current::{annotate, context, deadline, is_cancelled, remaining};
pub use error::Error;
/// What an async function yields: the trait of the crate `futures-core`.
#[cfg(feature = "tokio")]
pub use futures_core::Stream;
pub use polyloop_macros::guest;
pub use request_stream::Input;

/// What the code made by [`guest`] calls. Not for other code, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, run};
    pub use crate::error::Failure;
    #[cfg(feature = "tokio")]
    pub use crate::executor::{driven, handle_of, spawn, wait};
    pub use crate::guest::{Guest, Init, Setup, join, start};
    pub use crate::method::{Method, Signature};
    pub use crate::output::{Stream, write};
    pub use crate::parameter::{Lent, Optional, Text, Type};
    pub use crate::reply::Kind;
    #[cfg(feature = "tokio")]
    pub use crate::response_stream::later::{Each, answer_or_park, finish, park, pour_later};
    pub use crate::response_stream::pour;
    pub use polyloop_abi as abi;
    pub use std::borrow::Cow;
    pub use std::result::Result;
    pub use std::vec::Vec;

    /// Traits whose methods are chosen by the type at hand: the first that fits wins.
    pub mod tiers {
        pub use crate::error::{AnyError, AnyErrorSendSync, AnyText, StdError};
        pub use crate::parameter::{BinaryParameter, LentParameter, OptionalBinaryParameter, ValueParameter};
        pub use crate::reply::{PayloadReply, PlainOutcome, ResultOutcome, ValueReply};
    }
}
