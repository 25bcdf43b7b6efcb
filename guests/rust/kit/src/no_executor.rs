// SPDX-License-Identifier: Apache-2.0
//! The stand-in for `executor` without the feature `tokio`: async functions are compile errors.

use std::sync::Arc;

use crate::error::Failure;
use crate::runtime::{Handle, Runtime};

/// There is none.
pub struct Executor;

/// Nothing to start: no guest of this build has an async function.
///
/// # Errors
/// Never.
#[allow(clippy::unnecessary_wraps, reason = "the same face as with tokio")]
pub fn start(_: &Arc<Runtime>) -> Result<Executor, Failure> {
    Ok(Executor)
}

/// Nothing to end.
pub fn stop(_: Option<Executor>) {}

/// Nothing to enter.
pub fn enter(_: Option<&Handle>) -> Option<()> {
    None
}

/// Said once, by `__spawn`.
#[doc(hidden)]
#[macro_export]
macro_rules! __answer_later {
    ($call:ident, $value:expr) => {
        ::core::unreachable!()
    };
}

/// Said once, by `__spawn`.
#[doc(hidden)]
#[macro_export]
macro_rules! __pour_later {
    ($call:ident, $value:expr, $wrap:path) => {
        ::core::unreachable!()
    };
}

/// Says what to do.
#[doc(hidden)]
#[macro_export]
macro_rules! __spawn {
    ($call:ident, $body:ident) => {
        ::core::compile_error!(
            "`async fn` and `impl Stream` need the feature `tokio` of the crate `polyloop`"
        )
    };
}

/// Says what to do.
#[doc(hidden)]
#[macro_export]
macro_rules! __wait {
    ($setup:ident, $future:expr) => {
        ::core::compile_error!("`async fn init` needs the feature `tokio` of the crate `polyloop`")
    };
}
