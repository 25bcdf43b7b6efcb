// SPDX-License-Identifier: Apache-2.0
//! From what a function returned to the answer.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use crate::bytes::Bytes;
use crate::call::Call;
use crate::error::Failure;

/// Stands for the type of a value where the generated code asks what to do with it.
pub struct Kind<T>(PhantomData<T>);

impl<T> Kind<T> {
    /// The kind of `value`.
    pub fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}

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
    /// Answers.
    ///
    /// # Errors
    /// Never.
    fn reply(&self, call: &Call<'_>, value: T) -> Result<(), Failure>;
}
impl<T: Payload> PayloadReply<T> for &Kind<T> {
    fn reply(&self, call: &Call<'_>, value: T) -> Result<(), Failure> {
        call.answer_bytes(value.payload());
        Ok(())
    }
}

/// Second tier: everything else, by serde.
pub trait ValueReply<T> {
    /// Answers.
    ///
    /// # Errors
    /// Where the codec cannot carry the value.
    fn reply(&self, call: &Call<'_>, value: T) -> Result<(), Failure>
    where
        T: Serialize;
}
impl<T> ValueReply<T> for Kind<T> {
    fn reply(&self, call: &Call<'_>, value: T) -> Result<(), Failure>
    where
        T: Serialize,
    {
        call.answer_value(value)
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

/// Answers a call with a function's value.
#[doc(hidden)]
#[macro_export]
macro_rules! __answer {
    ($call:ident, $value:expr) => {
        match $crate::__outcome!($value) {
            ::core::result::Result::Ok(value) => (&&$crate::__private::Kind::of(&value)).reply($call, value),
            ::core::result::Result::Err(failure) => ::core::result::Result::Err(failure),
        }
    };
}
