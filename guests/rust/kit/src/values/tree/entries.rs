// SPDX-License-Identifier: Apache-2.0
//! Entries of the objects and maps of an envelope.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::values::misfit::Misfit;
use crate::values::tree::node::Node;

fn is_whole<T>(value: T, more: usize) -> Result<T, Misfit> {
    if more == 0 { Ok(value) } else { Err(Misfit::new(format!("it has {more} keys too many"))) }
}

/// An object's.
pub struct Fields<'de> {
    rest: std::vec::IntoIter<(Cow<'de, str>, Node<'de>)>,
    value: Option<(Cow<'de, str>, Node<'de>)>,
}

impl<'de> Fields<'de> {
    /// Shows them to a visitor, all of them.
    pub fn visit<V: Visitor<'de>>(
        fields: Vec<(Cow<'de, str>, Node<'de>)>,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let mut fields = Self { rest: fields.into_iter(), value: None };
        let value = visitor.visit_map(&mut fields)?;
        is_whole(value, fields.rest.len())
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Misfit;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let made = seed.deserialize(Key(key.clone())).map_err(|misfit| misfit.in_key(key.to_string()))?;
        self.value = Some((key, value));
        Ok(Some(made))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (key, value) = self.value.take().ok_or_else(|| Misfit::new("a value is read before its key"))?;
        seed.deserialize(value).map_err(|misfit| misfit.in_key(key.into_owned()))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A map's, whose keys may be anything.
pub struct Pairs<'de> {
    rest: std::vec::IntoIter<(Node<'de>, Node<'de>)>,
    value: Option<(String, Node<'de>)>,
    index: usize,
}

impl<'de> Pairs<'de> {
    /// Shows them to a visitor, all of them.
    pub fn visit<V: Visitor<'de>>(
        pairs: Vec<(Node<'de>, Node<'de>)>,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let mut pairs = Self { rest: pairs.into_iter(), value: None, index: 0 };
        let value = visitor.visit_map(&mut pairs)?;
        is_whole(value, pairs.rest.len())
    }
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Misfit;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let name = match &key {
            Node::Text(text) => text.to_string(),
            _ => format!("value {}", self.index),
        };
        let made = seed.deserialize(key).map_err(|misfit| misfit.in_key(format!("key {}", self.index)))?;
        self.index += 1;
        self.value = Some((name, value));
        Ok(Some(made))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let (name, value) = self.value.take().ok_or_else(|| Misfit::new("a value is read before its key"))?;
        seed.deserialize(value).map_err(|misfit| misfit.in_key(name))
    }
    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A key of an object: text, or a number or truth value that was written as one.
pub struct Key<'de>(pub Cow<'de, str>);

macro_rules! written {
    ($($method:ident $visit:ident $type:ident),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }
    written! {
        deserialize_bool visit_bool bool, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128, deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64
    }
    present! {}
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        Node::Text(self.0).deserialize_enum(name, variants, visitor)
    }
    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
