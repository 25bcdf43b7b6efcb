// SPDX-License-Identifier: Apache-2.0
#![doc = include_str!("../README.md")]

// The layers, top down: `guest` starts and serves; `call` is one task; `arguments`, `parameter` and `reply`
// stand between payloads and Rust values; `runtime` is the host as this library sees it.
mod arguments;
mod bytes;
mod call;
mod codec;
mod error;
mod guest;
mod output;
mod panics;
mod parameter;
mod reply;
mod runtime;

#[cfg(feature = "tokio")]
mod executor;
#[cfg(not(feature = "tokio"))]
#[path = "no_executor.rs"]
mod executor;

#[cfg(feature = "log")]
pub mod logger;

pub use bytes::Bytes;
pub use error::Error;
pub use polyloop_macros::guest;

/// What the code made by [`guest`] calls. Not for other code, and not stable.
#[doc(hidden)]
pub mod __private {
    pub use crate::call::{Call, run};
    pub use crate::error::Failure;
    #[cfg(feature = "tokio")]
    pub use crate::executor::{caught, handle_of, spawn, wait};
    pub use crate::guest::{Guest, Init, Method, Setup, Signature, join, start};
    pub use crate::output::{Stream, write};
    pub use crate::parameter::{Lent, Optional, Text, Type};
    pub use crate::reply::Kind;
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
