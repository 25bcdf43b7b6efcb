// SPDX-License-Identifier: Apache-2.0
//! Finds out whether a value is a number that can lie among others as an `f64`.

use std::fmt::{Display, Error};

use serde::ser::{Impossible, Serialize, Serializer};

use super::writer::SAFE;

/// Has the number; an error for everything else, before anything of it is written. An `f32` is none:
/// its text is shorter than that of the `f64`.
pub struct Probe;

type Outcome = Result<f64, Error>;

macro_rules! numbers {
    ($($method:ident $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Outcome {
            Ok(value.into())
        }
    )*};
}

macro_rules! others {
    ($($method:ident($($type:ty),*) $made:ty),*) => {$(
        #[inline]
        fn $method(self, $(_: $type),*) -> Result<$made, Error> {
            Err(Error)
        }
    )*};
}

impl Serializer for Probe {
    type Ok = f64;
    type Error = Error;
    type SerializeSeq = Impossible<f64, Error>;
    type SerializeTuple = Impossible<f64, Error>;
    type SerializeTupleStruct = Impossible<f64, Error>;
    type SerializeTupleVariant = Impossible<f64, Error>;
    type SerializeMap = Impossible<f64, Error>;
    type SerializeStruct = Impossible<f64, Error>;
    type SerializeStructVariant = Impossible<f64, Error>;

    numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_u8 u8, serialize_u16 u16,
        serialize_u32 u32, serialize_f64 f64
    }

    #[allow(clippy::cast_precision_loss, reason = "up to 2^53 nothing is lost")]
    fn serialize_i64(self, value: i64) -> Outcome {
        if value.unsigned_abs() <= SAFE { Ok(value as f64) } else { Err(Error) }
    }
    #[allow(clippy::cast_precision_loss, reason = "up to 2^53 nothing is lost")]
    fn serialize_u64(self, value: u64) -> Outcome {
        if value <= SAFE { Ok(value as f64) } else { Err(Error) }
    }

    others! {
        serialize_bool(bool) f64, serialize_f32(f32) f64, serialize_char(char) f64, serialize_str(&str) f64,
        serialize_bytes(&[u8]) f64, serialize_none() f64, serialize_unit() f64,
        serialize_unit_struct(&'static str) f64, serialize_unit_variant(&'static str, u32, &'static str) f64,
        serialize_seq(Option<usize>) Self::SerializeSeq, serialize_tuple(usize) Self::SerializeTuple,
        serialize_tuple_struct(&'static str, usize) Self::SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize) Self::SerializeTupleVariant,
        serialize_map(Option<usize>) Self::SerializeMap,
        serialize_struct(&'static str, usize) Self::SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize) Self::SerializeStructVariant
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        value.serialize(self)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Outcome {
        // Those of the kit's are no numbers.
        if name.starts_with('$') { Err(Error) } else { value.serialize(self) }
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Outcome {
        Err(Error)
    }
    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Outcome {
        Err(Error)
    }
}
