// SPDX-License-Identifier: Apache-2.0
//! A value as it came in an envelope: a tree whose tags are read, and whose bytes are where they
//! were.

use std::borrow::Cow;

use crate::values::numbers::NumberType;

/// The most dimensions of an array.
const DIMENSIONS: usize = 64;
/// The most lists that an array without numbers becomes.
const EMPTY_LISTS: usize = 1 << 16;
/// A value.
#[derive(Debug)]
pub enum Node<'de> {
    /// `null`, and `undefined`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number of JSON.
    Signed(i64),
    /// A number of JSON.
    Unsigned(u64),
    /// A number of JSON, or one that JSON has not.
    Float(f64),
    /// An integer of any size.
    Integer(Integer),
    /// A string.
    Text(Cow<'de, str>),
    /// Bytes.
    Bytes(&'de [u8]),
    /// An array of numbers.
    Array(Array<'de>),
    /// A moment: milliseconds, and microseconds beyond them.
    Date(i64, u16),
    /// A list, or a set.
    List(Vec<Node<'de>>),
    /// A map whose keys may be anything.
    Map(Vec<(Node<'de>, Node<'de>)>),
    /// An object.
    Object(Vec<(Cow<'de, str>, Node<'de>)>),
}

/// An integer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Integer {
    /// One that fits.
    Signed(i128),
    /// One that is larger.
    Unsigned(u128),
    /// One that no type has: whether it is negative, and how many hexadecimal digits it has.
    Beyond(bool, usize),
}

/// Numbers, and how they lie.
#[derive(Debug)]
pub struct Array<'de> {
    /// What they are.
    pub number: NumberType,
    /// Whether it is a list of JSON's numbers, and no typed array.
    pub is_list: bool,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// As many as type and shape say.
    pub bytes: &'de [u8],
}

impl<'de> Array<'de> {
    /// Bytes as numbers in one row.
    pub fn row(number: NumberType, bytes: &'de [u8]) -> Self {
        Self { number, is_list: false, shape: vec![bytes.len() / number.size()], bytes }
    }

    /// Numbers of a shape.
    ///
    /// # Errors
    /// If they are not as many bytes as the shape says.
    pub fn new(number: NumberType, shape: Vec<usize>, bytes: &'de [u8]) -> Result<Self, &'static str> {
        let product =
            |shape: &[usize]| shape.iter().try_fold(1_usize, |product, one| product.checked_mul(*one));
        let needed = product(&shape).and_then(|count| count.checked_mul(number.size()));
        if shape.len() > DIMENSIONS || needed != Some(bytes.len()) {
            return Err("an array whose bytes are not what its type and shape say");
        }
        // As lists these are many, though they are made of nothing.
        let lists = shape.iter().position(|one| *one == 0).map(|at| product(&shape[..at]));
        if lists.is_some_and(|lists| lists.is_none_or(|lists| lists > EMPTY_LISTS)) {
            return Err("an array without numbers whose shape is too large");
        }
        Ok(Self { number, is_list: false, shape, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_as_large_as_its_type_and_shape_say() {
        let is_made = |shape: &[usize], bytes| Array::new(NumberType::F4, shape.to_vec(), bytes).is_ok();
        assert!(is_made(&[2, 3], &[0; 24]) && is_made(&[], &[0; 4]) && is_made(&[100, 0], &[]));
        assert!(!is_made(&[2, 3], &[0; 20]) && !is_made(&[], &[]) && !is_made(&[1; 65], &[0; 4]));
        assert!(
            !is_made(&[usize::MAX, 2], &[])
                && !is_made(&[1 << 40, 0], &[])
                && !is_made(&[usize::MAX, 9, 0], &[])
        );
        assert!(is_made(&[0, 1 << 40], &[]));
    }
}
