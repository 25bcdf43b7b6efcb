// SPDX-License-Identifier: Apache-2.0
//! Writes values as JSON, byte for byte as `serde_json` does, and turns to tags and attachments for
//! what JSON cannot carry.

use std::fmt::Display;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Error;

use crate::values::array;
use crate::values::envelope::Attached;
use crate::values::names::{ARRAY, DATE};

mod compound;
mod probe;
mod writer;

use compound::{Entries, Items, Structure};
use writer::{SAFE, Writer};

/// Writes `value` into the empty `buffer`.
///
/// # Errors
/// If the value cannot be written.
pub fn write<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), Error> {
    let mut writer = Writer {
        text: std::mem::take(buffer),
        attached: Attached::default(),
        level: 0,
        is_tagged: false,
        is_sealed: false,
        is_array: false,
    };
    let outcome = value.serialize(&mut writer);
    let Writer { text, attached, is_tagged, is_sealed, .. } = writer;
    *buffer = text;
    outcome?;
    if is_tagged && !is_sealed { attached.seal(buffer).map_err(Error::custom) } else { Ok(()) }
}

macro_rules! plain {
    ($($method:ident $type:ty),*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), Error> {
            self.plain(&value)
        }
    )*};
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'w>;
    type SerializeTuple = Items<'w>;
    type SerializeTupleStruct = Items<'w>;
    type SerializeTupleVariant = Items<'w>;
    type SerializeMap = Entries<'w>;
    type SerializeStruct = Structure<'w>;
    type SerializeStructVariant = Structure<'w>;

    plain! {
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_char char
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.plain(value)
    }

    #[inline]
    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        if value.unsigned_abs() > SAFE {
            return self.serialize_i128(value.into());
        }
        self.plain(&value)
    }

    #[inline]
    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        if value > SAFE {
            return self.serialize_u128(value.into());
        }
        self.plain(&value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        if value.unsigned_abs() <= SAFE.into() {
            return self.plain(&value);
        }
        let sign = if value < 0 { "-" } else { "" };
        self.tag('i', format_args!("\"{sign}{:x}\"", value.unsigned_abs()));
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        if value <= SAFE.into() {
            return self.plain(&value);
        }
        self.tag('i', format_args!("\"{value:x}\""));
        Ok(())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        if value.is_finite() && (value != 0.0 || value.is_sign_positive()) {
            return self.plain(&value);
        }
        self.not_finite(value.into());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        if value.is_finite() && (value != 0.0 || value.is_sign_positive()) {
            return self.plain(&value);
        }
        self.not_finite(value);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        self.attach(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Error> {
        self.raw("null");
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        match name {
            ARRAY => {
                self.is_array = true;
                array::as_bytes(value, &mut *self)
            }
            DATE => {
                self.is_tagged = true;
                self.raw("{\"~\":[\"d\",");
                value.serialize(&mut *self)?;
                self.raw("]}");
                Ok(())
            }
            _ => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        use serde::ser::SerializeMap;
        let _ = (name, index);
        let mut entries = Entries::begin(self)?;
        entries.serialize_entry(variant, value)?;
        SerializeMap::end(entries)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'w>, Error> {
        Items::begin(self, len)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Items<'w>, Error> {
        Items::begin(self, Some(len))
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Items<'w>, Error> {
        Items::begin(self, Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'w>, Error> {
        let outer = Entries::of_variant(self, variant)?;
        Items::within(outer, len)
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'w>, Error> {
        Entries::begin(self)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Structure<'w>, Error> {
        Structure::begin(self, name)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Structure<'w>, Error> {
        let outer = Entries::of_variant(self, variant)?;
        Structure::within(outer)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        serde_json::Serializer::new(&mut self.text).collect_str(value)
    }
}
