// SPDX-License-Identifier: Apache-2.0
//! From what a function returned, or an item of it, to a payload.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use polyloop_abi::{FLAG_BYTES, FLAG_EMPTY};
use serde::Serialize;

use crate::error::Failure;
use crate::kind::Kind;
use crate::task::call::Call;
use crate::values::bytes::Bytes;

/// The error of a function that cannot fail.
#[derive(Debug)]
pub struct Never(());

impl fmt::Display for Never {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("never")
    }
}
impl std::error::Error for Never {}

/// First tier: a `Result`, by whatever alias.
pub trait ResultOutcome<T, E> {
    /// The value as it is.
    ///
    /// # Errors
    /// That of the value.
    fn outcome(&self, value: Result<T, E>) -> Result<T, E>;
}
impl<T, E> ResultOutcome<T, E> for &Kind<Result<T, E>> {
    fn outcome(&self, value: Result<T, E>) -> Result<T, E> {
        value
    }
}

/// Second tier: anything else is a success.
pub trait PlainOutcome<T> {
    /// `Ok` of the value.
    ///
    /// # Errors
    /// Never.
    fn outcome(&self, value: T) -> Result<T, Never>;
}
impl<T> PlainOutcome<T> for Kind<T> {
    fn outcome(&self, value: T) -> Result<T, Never> {
        Ok(value)
    }
}

/// Results that are bytes, or nothing. Dropping one reads nothing that it borrows.
pub trait Payload {
    /// The bytes; `None` for an empty answer.
    fn payload(&self) -> Option<&[u8]>;
}

/// First tier: bytes and `()`.
pub trait PayloadReply<T> {
    /// Shows the flags and the bytes to `then`.
    ///
    /// # Errors
    /// Never.
    fn encode<R>(&self, call: &Call<'_>, value: T, then: impl FnOnce(u8, &[u8]) -> R) -> Result<R, Failure>;
}
impl<T: Payload> PayloadReply<T> for &Kind<T> {
    fn encode<R>(&self, _: &Call<'_>, value: T, then: impl FnOnce(u8, &[u8]) -> R) -> Result<R, Failure> {
        Ok(match value.payload() {
            Some(data) => then(FLAG_BYTES, data),
            None => then(FLAG_EMPTY, &[]),
        })
    }
}

/// Second tier: everything else, by serde.
pub trait ValueReply<T> {
    /// Encodes and drops the value, then shows the flags and the bytes to `then`.
    ///
    /// # Errors
    /// If the codec cannot carry the value.
    fn encode<R>(&self, call: &Call<'_>, value: T, then: impl FnOnce(u8, &[u8]) -> R) -> Result<R, Failure>
    where
        T: Serialize;
}
impl<T> ValueReply<T> for Kind<T> {
    fn encode<R>(&self, call: &Call<'_>, value: T, then: impl FnOnce(u8, &[u8]) -> R) -> Result<R, Failure>
    where
        T: Serialize,
    {
        call.encoded(value, |data| then(0, data))
    }
}

impl Payload for () {
    fn payload(&self) -> Option<&[u8]> {
        None
    }
}

impl<T: Payload + ?Sized> Payload for &T {
    fn payload(&self) -> Option<&[u8]> {
        (**self).payload()
    }
}

impl<T: Payload> Payload for Option<T> {
    fn payload(&self) -> Option<&[u8]> {
        self.as_ref()?.payload()
    }
}

macro_rules! payload {
    ($($type:ty),*) => {
        $(impl Payload for $type {
            fn payload(&self) -> Option<&[u8]> {
                Some(self)
            }
        })*
    };
}
payload!([u8], Vec<u8>, Box<[u8]>, Arc<[u8]>, Cow<'_, [u8]>, Bytes);

impl<const N: usize> Payload for [u8; N] {
    fn payload(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// A function's value as a `Result` whose error is a `Failure`.
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome {
    ($value:expr) => {{
        let value = $value;
        match (&&$crate::__private::Kind::of(&value)).outcome(value) {
            ::core::result::Result::Ok(value) => ::core::result::Result::Ok(value),
            ::core::result::Result::Err(error) => {
                let kind = $crate::__private::Kind::of(&error);
                ::core::result::Result::Err((&&&&kind).failure(error))
            }
        }
    }};
}

/// What `$then` makes of a function's value, or of an item, once it is encoded.
#[doc(hidden)]
#[macro_export]
macro_rules! __encode {
    ($call:ident, $value:expr, $then:expr) => {
        match $crate::__outcome!($value) {
            ::core::result::Result::Ok(value) => {
                (&&$crate::__private::Kind::of(&value)).encode($call, value, $then).flatten()
            }
            ::core::result::Result::Err(failure) => ::core::result::Result::Err(failure),
        }
    };
}

/// Answers a call with a function's value.
#[doc(hidden)]
#[macro_export]
macro_rules! __answer {
    ($call:ident, $value:expr) => {
        $crate::__encode!($call, $value, |flags, data| $call.answer(flags, data))
    };
}

/// Answers a call with the items of a function's iterator.
#[doc(hidden)]
#[macro_export]
macro_rules! __pour {
    ($call:ident, $value:expr) => {
        match $crate::__outcome!($value) {
            ::core::result::Result::Ok(items) => $crate::__private::pour($call, items, |item| {
                $crate::__encode!($call, item, |flags, data| $call.send(flags, data, true))
            }),
            ::core::result::Result::Err(failure) => ::core::result::Result::Err(failure),
        }
    };
}
