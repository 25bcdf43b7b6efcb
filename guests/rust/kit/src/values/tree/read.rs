// SPDX-License-Identifier: Apache-2.0
//! Makes Rust values of the tree of an envelope, and says of what does not fit where it stands.

use std::any::type_name;
use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, SeqAccess, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::values::array::Parts;
use crate::values::date::text_of;
use crate::values::misfit::Misfit;
use crate::values::names::{ARRAY, BYTES};
use crate::values::numbers::{NumberType, SAFE, float_of, integer_of};
use crate::values::tree::entries::{Fields, Key, Pairs};
use crate::values::tree::node::{Array, Integer, Node};

impl Node<'_> {
    /// The integer that it is, for a type of integers: also of what JavaScript takes for one.
    fn integer(&self) -> Option<Integer> {
        match *self {
            Self::Signed(value) => Some(Integer::Signed(value.into())),
            Self::Unsigned(value) => Some(Integer::Signed(value.into())),
            Self::Integer(value) => Some(value),
            Self::Date(millis, _) => Some(Integer::Signed(millis.into())),
            Self::Float(value) if value == 0.0 || value.abs() > SAFE => {
                integer_of(value).map(Integer::Signed)
            }
            _ => None,
        }
    }

    /// The float that it is, if it is one of what others are none: an integer, or a moment.
    #[allow(clippy::cast_precision_loss, reason = "a `Date` has no more than 2^53 milliseconds")]
    fn float(&self) -> Result<Option<f64>, Misfit> {
        match *self {
            Self::Integer(value) => {
                let float = if let Integer::Signed(value) = value { float_of(value) } else { None };
                float.map(Some).ok_or_else(|| Misfit::new(format!("{value} is no float without loss")))
            }
            Self::Date(millis, micros) => Ok(Some(millis as f64 + f64::from(micros) / 1000.0)),
            _ => Ok(None),
        }
    }

    fn date(millis: i64, micros: u16) -> Result<String, Misfit> {
        text_of(millis, micros).ok_or_else(|| {
            Misfit::new(
                "a Date before the year 0 or after 9999 has no text as RFC 3339: take its milliseconds, i64",
            )
        })
    }
}

impl std::fmt::Display for Integer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed(value) => write!(formatter, "{value}"),
            Self::Unsigned(value) => write!(formatter, "{value}"),
            Self::Beyond(_, digits) => write!(formatter, "an integer of {digits} hexadecimal digits"),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let Some(integer) = self.integer() else { return self.deserialize_any(visitor) };
            let fits = match integer {
                Integer::Signed(value) => $type::try_from(value).ok(),
                Integer::Unsigned(value) => $type::try_from(value).ok(),
                Integer::Beyond(..) => None,
            };
            match fits {
                Some(value) => visitor.$visit(value),
                None => Err(out_of_range(integer, stringify!($type), $type::MIN, $type::MAX)),
            }
        }
    )*};
}

#[cold]
fn out_of_range(
    integer: Integer,
    name: &str,
    min: impl std::fmt::Display,
    max: impl std::fmt::Display,
) -> Misfit {
    Misfit::new(format!("{integer} does not fit {name}, which goes from {min} to {max}"))
}

/// A `serde_json::Value` would take NaN and infinities for null.
fn loses_what_json_has_not<V>(value: f64) -> bool {
    !value.is_finite() && type_name::<V>() == type_name::<serde_json::Value>()
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Float(value) if loses_what_json_has_not::<V::Value>(value) => {
                Err(Misfit::new(format!("serde_json::Value has no {value}: take f64")))
            }
            Self::Float(value) => visitor.visit_f64(value),
            Self::Integer(value) => any_integer(value, visitor),
            Self::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Self::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Self::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Self::Array(array) => array.slice().deserialize_any(visitor),
            Self::Date(millis, micros) => visitor.visit_string(Self::date(millis, micros)?),
            Self::List(items) => visit_list(items, visitor),
            Self::Map(pairs) => Pairs::visit(pairs, visitor),
            Self::Object(fields) => Fields::visit(fields, visitor),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128, deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.float()? {
            Some(value) => visitor.visit_f64(value),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if matches!(self, Self::Null) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self {
            Self::Array(array) if name == ARRAY => visitor.visit_map(Parts::new(array)),
            Self::Bytes(bytes) if name == ARRAY => {
                visitor.visit_map(Parts::new(Array::row(NumberType::U1, bytes)))
            }
            Self::Array(array) if name == BYTES => visit_bytes(&array, visitor),
            other => visitor.visit_newtype_struct(other),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Self::Array(array) => visit_bytes(&array, visitor),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Self::Bytes(bytes) => Array::row(NumberType::U1, bytes).slice().deserialize_any(visitor),
            Self::Map(pairs) => {
                let pairs = pairs.into_iter().map(|(key, value)| Node::List(vec![key, value]));
                visit_list(pairs.collect(), visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let (variant, value) = match self {
            Self::Text(name) => (name, None),
            Self::Object(fields) => {
                let mut fields = fields.into_iter();
                match (fields.next(), fields.next()) {
                    (Some((name, value)), None) => (name, Some(value)),
                    _ => return Err(Misfit::new("an enum is an object with one key, its variant")),
                }
            }
            other => return other.deserialize_any(visitor),
        };
        visitor.visit_enum(Variant { name: variant, value })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool char str string unit unit_struct map struct identifier }
}

fn any_integer<'de, V: Visitor<'de>>(integer: Integer, visitor: V) -> Result<V::Value, Misfit> {
    let Integer::Signed(value) = integer else {
        return match integer {
            Integer::Unsigned(value) => visitor.visit_u128(value),
            other => Err(Misfit::new(format!("{other} fits no type of Rust: pass it as a string"))),
        };
    };
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => visitor.visit_i64(value),
        (_, Ok(value)) => visitor.visit_u64(value),
        _ => visitor.visit_i128(value),
    }
}

fn visit_bytes<'de, V: Visitor<'de>>(array: &Array<'de>, visitor: V) -> Result<V::Value, Misfit> {
    if array.number == NumberType::U1 && array.shape.len() == 1 {
        return visitor.visit_borrowed_bytes(array.bytes);
    }
    Err(Misfit::new(
        "an array of numbers, expected bytes: pass `new Uint8Array(array.buffer)` if its bytes are meant",
    ))
}

fn visit_list<'de, V: Visitor<'de>>(items: Vec<Node<'de>>, visitor: V) -> Result<V::Value, Misfit> {
    let mut list = List { items: items.into_iter(), index: 0 };
    let value = visitor.visit_seq(&mut list)?;
    match list.items.len() {
        0 => Ok(value),
        more => Err(Misfit::new(format!("a list of {} items is too long", list.index + more))),
    }
}

struct List<'de> {
    items: std::vec::IntoIter<Node<'de>>,
    index: usize,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = Misfit;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.next() else { return Ok(None) };
        self.index += 1;
        seed.deserialize(item).map(Some).map_err(|misfit| misfit.in_item(self.index - 1))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Variant<'de> {
    name: Cow<'de, str>,
    value: Option<Node<'de>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Misfit;
    type Variant = Content<'de>;
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'de>), Misfit> {
        let variant = seed.deserialize(Key(self.name.clone()))?;
        Ok((variant, Content(self)))
    }
}

/// What a variant of an enum holds.
struct Content<'de>(Variant<'de>);

impl<'de> Content<'de> {
    fn value(self) -> Node<'de> {
        self.0.value.unwrap_or(Node::Null)
    }
    fn named<T>(name: String, outcome: Result<T, Misfit>) -> Result<T, Misfit> {
        outcome.map_err(|misfit| misfit.in_key(name))
    }
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = Misfit;
    fn unit_variant(self) -> Result<(), Misfit> {
        match self.0.value {
            None | Some(Node::Null) => Ok(()),
            Some(_) => Err(Misfit::new("this variant holds nothing")),
        }
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        let name = self.0.name.to_string();
        Self::named(name, seed.deserialize(self.value()))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        let name = self.0.name.to_string();
        Self::named(name, self.value().deserialize_seq(visitor))
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let name = self.0.name.to_string();
        Self::named(name, self.value().deserialize_any(visitor))
    }
}
