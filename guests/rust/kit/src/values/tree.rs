// SPDX-License-Identifier: Apache-2.0
//! From an envelope to Rust values: by a tree, in which tags are read and bytes are where they were.

/// What is there: an option has it, and a newtype is made of it.
macro_rules! present {
    () => {
        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            visitor.visit_some(self)
        }
        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value, Misfit> {
            visitor.visit_newtype_struct(self)
        }
    };
}

mod build;
mod entries;
pub mod node;
mod read;
mod rows;
