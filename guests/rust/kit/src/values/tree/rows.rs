// SPDX-License-Identifier: Apache-2.0
//! Arrays of numbers as nested lists, for types that are no arrays.

use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::values::array::Parts;
use crate::values::misfit::Misfit;
use crate::values::names::ARRAY;
use crate::values::numbers::{Element, Number, NumberType, SAFE};
use crate::values::tree::node::{Array, Node};

impl<'de> Array<'de> {
    /// As nested lists.
    pub fn slice(&self) -> Slice<'_, 'de> {
        Slice { number: self.number, is_list: self.is_list, shape: &self.shape, bytes: self.bytes }
    }
}

/// An array of numbers as nested lists.
pub struct Slice<'s, 'de> {
    number: NumberType,
    is_list: bool,
    shape: &'s [usize],
    bytes: &'de [u8],
}

impl<'de> Deserializer<'de> for Slice<'_, 'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let Some((length, shape)) = self.shape.split_first() else {
            return One { element: self.number.read(self.bytes), is_list: self.is_list }
                .deserialize_any(visitor);
        };
        let size = self.bytes.len().checked_div(*length).unwrap_or(0);
        let mut rows = Rows { slice: Slice { shape, ..self }, size, index: 0, length: *length };
        let value = visitor.visit_seq(&mut rows)?;
        if rows.index == rows.length {
            Ok(value)
        } else {
            Err(Misfit::new(format!("an array of {length} is too long")))
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        if name != ARRAY {
            return visitor.visit_newtype_struct(self);
        }
        let Self { number, is_list, shape, bytes } = self;
        visitor.visit_map(Parts::new(Array { number, is_list, shape: shape.to_vec(), bytes }))
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Rows<'s, 'de> {
    slice: Slice<'s, 'de>,
    size: usize,
    index: usize,
    length: usize,
}

impl<'de> SeqAccess<'de> for Rows<'_, 'de> {
    type Error = Misfit;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        if self.index == self.length {
            return Ok(None);
        }
        let at = self.index * self.size;
        self.index += 1;
        let Slice { number, is_list, shape, bytes } = self.slice;
        let bytes = &bytes[at..at + self.size];
        let outcome = if shape.is_empty() {
            seed.deserialize(One { element: number.read(bytes), is_list })
        } else {
            seed.deserialize(Slice { number, is_list, shape, bytes })
        };
        outcome.map(Some).map_err(|misfit| misfit.in_item(self.index - 1))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.length - self.index)
    }
}

/// A number of an array, which becomes one of another type without loss; one of a list is a number
/// of JSON.
struct One {
    element: Element,
    is_list: bool,
}

impl One {
    fn node<'de>(self) -> Node<'de> {
        match self.element {
            Element::Bool(value) => Node::Bool(value),
            Element::Signed(value) => Node::Signed(value),
            Element::Unsigned(value) => Node::Unsigned(value),
            Element::Float(value) if self.is_list && value.fract() == 0.0 && value.abs() <= SAFE => {
                if value == 0.0 && value.is_sign_negative() {
                    Node::Float(value)
                } else {
                    Node::Signed(value as i64)
                }
            }
            Element::Float(value) => Node::Float(value),
        }
    }
}

macro_rules! exact {
    ($($method:ident $visit:ident $type:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            if self.is_list {
                return self.node().$method(visitor);
            }
            match $type::exact(self.element) {
                Some(value) => visitor.$visit(value),
                None => Err(lossy(self.element, stringify!($type))),
            }
        }
    )*};
}

#[cold]
fn lossy(element: Element, name: &str) -> Misfit {
    Misfit::new(format!("{element} is no {name} without loss"))
}

impl<'de> Deserializer<'de> for One {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.node().deserialize_any(visitor)
    }
    exact! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    }
    present! {}
    forward_to_deserialize_any! {
        bool i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct enum
        identifier ignored_any
    }
}
