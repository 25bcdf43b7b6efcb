// SPDX-License-Identifier: Apache-2.0
//! How generated code asks what to do with a value: by its type.

use std::marker::PhantomData;

/// Stands for the type of a value when the generated code asks what to do with it.
pub struct Kind<T>(PhantomData<T>);

impl<T> Kind<T> {
    /// The kind of `value`.
    pub fn of(_: &T) -> Self {
        Self(PhantomData)
    }
}
