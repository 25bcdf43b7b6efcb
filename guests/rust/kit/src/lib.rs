// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../../README.md")]

// The layers, top down; no file imports one above it, so that there are no circles:
// - `guest` starts and serves the functions of its table, `method`; `executor` runs the async ones.
// - `task`: `call` is one task, `current` the one that a thread runs, `request_stream` and
//   `response_stream` are its streams, `watch` hears of its events, `reply` makes payloads of
//   results.
// - `values`: between payloads and Rust values.
// - `error`, `kind`, `signature`: what is said of functions and of their results.
// - `runtime` is the host as this library sees it; `output` and `logger` print there.
mod error;
mod guest;
mod kind;
mod method;
mod output;
mod runtime;
mod signature;
mod stack;
mod task;
mod values;

#[cfg(feature = "tokio")]
mod executor;
#[cfg(not(feature = "tokio"))]
#[path = "no_executor.rs"]
mod executor;

#[cfg(feature = "log")]
pub mod logger;

pub use error::Error;
/// What an async function yields: the trait of the crate `futures-core`.
#[cfg(feature = "tokio")]
pub use futures_core::Stream;
pub use polyloop_macros::guest;
pub use task::current::{annotate, context, deadline, is_cancelled, remaining};
pub use task::request_stream::Input;
pub use values::array::{NdArray, ShapeError};
pub use values::bytes::Bytes;
pub use values::date::Date;
pub use values::numbers::Number;

/// What the code made by [`guest`] calls. Not for other code, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::error::Failure;
    #[cfg(feature = "tokio")]
    pub use crate::executor::{driven, handle_of, spawn, wait};
    pub use crate::guest::{Guest, Init, Setup, join, start};
    pub use crate::kind::Kind;
    pub use crate::method::Method;
    pub use crate::output::{Stream, write};
    pub use crate::signature::Signature;
    pub use crate::task::call::Call;
    pub use crate::task::current::run;
    #[cfg(feature = "tokio")]
    pub use crate::task::response_stream::later::{Each, answer_or_park, finish, park, pour_later};
    pub use crate::task::response_stream::pour;
    pub use crate::values::parameter::{Lent, Optional, Type};
    pub use crate::values::text::Text;
    pub use polyloop_abi as abi;
    pub use std::borrow::Cow;
    pub use std::result::Result;
    pub use std::vec::Vec;

    /// Traits whose methods are chosen by the type at hand: the first that fits wins.
    pub mod tiers {
        pub use crate::error::{AnyError, AnyErrorSendSync, AnyText, StdError};
        pub use crate::task::reply::{PayloadReply, PlainOutcome, ResultOutcome, ValueReply};
        pub use crate::values::parameter::{
            BinaryParameter, LentParameter, NumbersParameter, OptionalBinaryParameter,
            OptionalNumbersParameter, ValueParameter,
        };
    }
}
