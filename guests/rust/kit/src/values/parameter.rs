// SPDX-License-Identifier: Apache-2.0
//! The seeds that decode one argument, and how a parameter's type chooses its seed.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::values::array::{FromNumbers, Numbers};
use crate::values::bytes::{Bytes, Source};
use crate::values::names::BYTES;

/// Stands for a parameter's type when the generated code asks for its seed.
pub struct Type<T>(PhantomData<T>);

impl<T> Type<T> {
    /// The only value there is.
    pub const NEW: Self = Self(PhantomData);
}

/// Types that are bytes, not sequences of numbers.
pub trait FromBytes<'de>: Sized {
    /// From a part of the request.
    fn borrowed(data: &'de [u8], source: Source<'de>) -> Self;
    /// From bytes that were made in decoding.
    fn owned(data: Vec<u8>) -> Self;
}

/// First tier: bytes.
pub trait BinaryParameter<B> {
    /// The seed.
    fn seed<'de>(&self, source: Source<'de>) -> Binary<'de, B>;
}
impl<'any, B: FromBytes<'any>> BinaryParameter<B> for &Type<B> {
    fn seed<'de>(&self, source: Source<'de>) -> Binary<'de, B> {
        Binary::new(source)
    }
}

/// First tier too: bytes that may be missing.
pub trait OptionalBinaryParameter<B> {
    /// The seed.
    fn seed<'de>(&self, source: Source<'de>) -> Optional<Binary<'de, B>>;
}
impl<'any, B: FromBytes<'any>> OptionalBinaryParameter<B> for &Type<Option<B>> {
    fn seed<'de>(&self, source: Source<'de>) -> Optional<Binary<'de, B>> {
        Optional(Binary::new(source))
    }
}

/// First tier too: numbers in one row, and arrays of them.
pub trait NumbersParameter<B> {
    /// The seed.
    fn seed(&self, source: Source<'_>) -> Numbers<B>;
}
impl<'any, B: FromNumbers<'any>> NumbersParameter<B> for &Type<B> {
    fn seed(&self, _: Source<'_>) -> Numbers<B> {
        Numbers::NEW
    }
}

/// First tier too: those that may be missing.
pub trait OptionalNumbersParameter<B> {
    /// The seed.
    fn seed(&self, source: Source<'_>) -> Optional<Numbers<B>>;
}
impl<'any, B: FromNumbers<'any>> OptionalNumbersParameter<B> for &Type<Option<B>> {
    fn seed(&self, _: Source<'_>) -> Optional<Numbers<B>> {
        Optional(Numbers::NEW)
    }
}

/// Second tier: everything else, by serde.
pub trait ValueParameter<T> {
    /// The seed.
    fn seed<'de>(&self, source: Source<'de>) -> Value<T>
    where
        T: Deserialize<'de>;
}
impl<T> ValueParameter<T> for Type<T> {
    fn seed<'de>(&self, _: Source<'de>) -> Value<T>
    where
        T: Deserialize<'de>,
    {
        Value(PhantomData)
    }
}

/// Stands for the type of what a function borrows: that outlives the response, so what serde makes
/// of it must not borrow from the request.
pub struct Lent<T>(PhantomData<T>);

impl<T> Lent<T> {
    /// The only value there is.
    pub const NEW: Self = Self(PhantomData);
}

impl<'any, B: FromBytes<'any>> BinaryParameter<B> for &Lent<B> {
    fn seed<'de>(&self, source: Source<'de>) -> Binary<'de, B> {
        Binary::new(source)
    }
}

impl<'any, B: FromNumbers<'any>> NumbersParameter<B> for &Lent<B> {
    fn seed(&self, _: Source<'_>) -> Numbers<B> {
        Numbers::NEW
    }
}

/// Second tier for what is lent.
pub trait LentParameter<T> {
    /// The seed.
    fn seed(&self, source: Source<'_>) -> Value<T>
    where
        T: DeserializeOwned;
}
impl<T> LentParameter<T> for Lent<T> {
    fn seed(&self, _: Source<'_>) -> Value<T>
    where
        T: DeserializeOwned,
    {
        Value(PhantomData)
    }
}

/// Anything that serde can make.
pub struct Value<T>(PhantomData<T>);

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Value<T> {}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Value<T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// Bytes.
pub struct Binary<'de, B> {
    source: Source<'de>,
    made: PhantomData<B>,
}

impl<'de, B> Binary<'de, B> {
    /// A seed that borrows from `source` if it can.
    pub fn new(source: Source<'de>) -> Self {
        Self { source, made: PhantomData }
    }
}

impl<B> Clone for Binary<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for Binary<'_, B> {}

impl<'de, B: FromBytes<'de>> DeserializeSeed<'de> for Binary<'de, B> {
    type Value = B;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<B, D::Error> {
        deserializer.deserialize_newtype_struct(BYTES, self)
    }
}

impl<'de, B: FromBytes<'de>> Visitor<'de> for Binary<'de, B> {
    type Value = B;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes (a Uint8Array)")
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<B, D::Error> {
        // Not deserialize_bytes: by that JSON would pass a string off as bytes.
        deserializer.deserialize_any(self)
    }
    fn visit_borrowed_bytes<E: Error>(self, data: &'de [u8]) -> Result<B, E> {
        Ok(B::borrowed(data, self.source))
    }
    fn visit_bytes<E: Error>(self, data: &[u8]) -> Result<B, E> {
        Ok(B::owned(data.to_vec()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<B, A::Error> {
        let mut data = Vec::with_capacity(numbers.size_hint().unwrap_or(0).min(1 << 16));
        while let Some(number) = numbers.next_element()? {
            data.push(number);
        }
        Ok(B::owned(data))
    }
}

/// An argument that may be null or missing.
#[derive(Clone, Copy)]
pub struct Optional<S>(pub S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Optional<S> {
    type Value = Option<S::Value>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Optional<S> {
    type Value = Option<S::Value>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or nothing")
    }
    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

impl<'de> FromBytes<'de> for Cow<'de, [u8]> {
    fn borrowed(data: &'de [u8], _: Source<'de>) -> Self {
        Cow::Borrowed(data)
    }
    fn owned(data: Vec<u8>) -> Self {
        Cow::Owned(data)
    }
}

impl<'de> FromBytes<'de> for Vec<u8> {
    fn borrowed(data: &'de [u8], _: Source<'de>) -> Self {
        data.to_vec()
    }
    fn owned(data: Vec<u8>) -> Self {
        data
    }
}

impl<'de> FromBytes<'de> for Box<[u8]> {
    fn borrowed(data: &'de [u8], _: Source<'de>) -> Self {
        data.into()
    }
    fn owned(data: Vec<u8>) -> Self {
        data.into()
    }
}

impl<'de> FromBytes<'de> for Bytes {
    fn borrowed(data: &'de [u8], source: Source<'de>) -> Self {
        source.share(data)
    }
    fn owned(data: Vec<u8>) -> Self {
        Self::from(data)
    }
}

/// Within another type the bytes are copied: serde does not say which request they come from.
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Binary::new(Source::NOWHERE).deserialize(deserializer)
    }
}
