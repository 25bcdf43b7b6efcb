// SPDX-License-Identifier: Apache-2.0
//! Types of the numbers in an array, and from one to another without loss.

#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "whether anything is lost is what is looked at"
)]

use std::fmt;

use bytemuck::Pod;
use serde::Deserialize;

/// What the numbers in an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NumberType {
    /// Bytes of 0 and 1.
    B1,
    /// `i8`
    I1,
    /// `u8`
    U1,
    /// `i16`
    I2,
    /// `u16`
    U2,
    /// `i32`
    I4,
    /// `u32`
    U4,
    /// `i64`
    I8,
    /// `u64`
    U8,
    /// Half precision, which Rust has no type for.
    F2,
    /// `f32`
    F4,
    /// `f64`
    F8,
}

use NumberType::{B1, F2, F4, F8, I1, I2, I4, I8, U1, U2, U4, U8};

const ALL: [(NumberType, &str, usize); 12] = [
    (B1, "|b1", 1),
    (I1, "|i1", 1),
    (U1, "|u1", 1),
    (I2, "<i2", 2),
    (U2, "<u2", 2),
    (I4, "<i4", 4),
    (U4, "<u4", 4),
    (I8, "<i8", 8),
    (U8, "<u8", 8),
    (F2, "<f2", 2),
    (F4, "<f4", 4),
    (F8, "<f8", 8),
];

impl NumberType {
    /// By the name that it travels as: numpy's `dtype.str`.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, other, _)| *other == name).map(|(one, _, _)| *one)
    }

    /// The name that it travels as.
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// Bytes of one number.
    pub fn size(self) -> usize {
        ALL[self as usize].2
    }

    /// The number in `bytes`, which are as many as it has.
    pub fn read(self, bytes: &[u8]) -> Element {
        macro_rules! read {
            ($type:ty, $kind:ident, $into:ty) => {
                bytes.first_chunk().map_or(Element::Signed(0), |bytes| {
                    Element::$kind(<$into>::from(<$type>::from_le_bytes(*bytes)))
                })
            };
        }
        match self {
            B1 => Element::Bool(bytes.first().is_some_and(|byte| *byte != 0)),
            I1 => read!(i8, Signed, i64),
            U1 => read!(u8, Unsigned, u64),
            I2 => read!(i16, Signed, i64),
            U2 => read!(u16, Unsigned, u64),
            I4 => read!(i32, Signed, i64),
            U4 => read!(u32, Unsigned, u64),
            I8 => read!(i64, Signed, i64),
            U8 => read!(u64, Unsigned, u64),
            F2 => bytes
                .first_chunk()
                .map_or(Element::Float(0.0), |bytes| Element::Float(half(u16::from_le_bytes(*bytes)))),
            F4 => read!(f32, Float, f64),
            F8 => read!(f64, Float, f64),
        }
    }
}

/// A number of half precision.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}

/// Beyond this a number of JSON is a float's digits.
pub const SAFE: f64 = 9_007_199_254_740_991.0;

/// One number of an array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Element {
    /// 0 or 1
    Bool(bool),
    /// An integer with a sign.
    Signed(i64),
    /// One without.
    Unsigned(u64),
    /// Any other.
    Float(f64),
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Signed(value) => write!(formatter, "{value}"),
            Self::Unsigned(value) => write!(formatter, "{value}"),
            Self::Float(value) => write!(formatter, "{value}"),
        }
    }
}

/// The integer that a float is, if it is one.
pub fn integer_of(float: f64) -> Option<i128> {
    let integer = float as i128;
    // Beyond its range the conversion stays at the end, which another float has.
    (integer as f64 == float && integer != i128::MAX).then_some(integer)
}

/// The float that an integer is, if there is one.
pub fn float_of(integer: i128) -> Option<f64> {
    let float = integer as f64;
    (integer_of(float) == Some(integer)).then_some(float)
}

/// Numbers that lie in an array.
pub trait Number: Pod + for<'de> Deserialize<'de> + Send + Sync + sealed::Sealed {
    /// What an array of them travels as.
    #[doc(hidden)]
    const TYPE: NumberType;
    /// The same number, if there is one of this type.
    #[doc(hidden)]
    fn exact(element: Element) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ident $named:ident),*) => {$(
        impl sealed::Sealed for $type {}
        impl Number for $type {
            const TYPE: NumberType = $named;
            fn exact(element: Element) -> Option<Self> {
                match element {
                    Element::Bool(value) => Some(Self::from(value)),
                    Element::Signed(value) => Self::try_from(value).ok(),
                    Element::Unsigned(value) => Self::try_from(value).ok(),
                    Element::Float(value) => Self::try_from(integer_of(value)?).ok(),
                }
            }
        }
    )*};
}
integers!(i8 I1, u8 U1, i16 I2, u16 U2, i32 I4, u32 U4, i64 I8, u64 U8);

impl sealed::Sealed for f64 {}
impl Number for f64 {
    const TYPE: NumberType = F8;
    fn exact(element: Element) -> Option<Self> {
        match element {
            Element::Bool(value) => Some(Self::from(value)),
            Element::Signed(value) => float_of(value.into()),
            Element::Unsigned(value) => float_of(value.into()),
            Element::Float(value) => Some(value),
        }
    }
}

impl sealed::Sealed for f32 {}
impl Number for f32 {
    const TYPE: NumberType = F4;
    fn exact(element: Element) -> Option<Self> {
        let wide = f64::exact(element)?;
        let narrow = wide as Self;
        (f64::from(narrow) == wide || wide.is_nan()).then_some(narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_another_type_without_loss_or_not_at_all() {
        assert_eq!(i32::exact(Element::Float(3.0)), Some(3));
        assert_eq!(i32::exact(Element::Float(-0.0)), Some(0));
        for float in [0.5, f64::NAN, f64::INFINITY, 2_147_483_648.0] {
            assert_eq!(i32::exact(Element::Float(float)), None);
        }
        assert_eq!(u64::exact(Element::Float(2_f64.powi(63))), Some(1 << 63));
        assert_eq!(u64::exact(Element::Float(2_f64.powi(64))), None);
        assert_eq!(f64::exact(Element::Signed((1 << 53) + 1)), None);
        assert_eq!(f64::exact(Element::Signed(1 << 60)), Some(2_f64.powi(60)));
        assert_eq!(f64::exact(Element::Unsigned(u64::MAX)), None);
        assert_eq!(f32::exact(Element::Float(0.1)), None);
        assert_eq!(f32::exact(Element::Float(0.5)), Some(0.5));
        assert!(f32::exact(Element::Float(f64::NAN)).is_some_and(f32::is_nan));
        assert_eq!(integer_of(2_f64.powi(127)), None);
        assert_eq!(integer_of(-(2_f64.powi(127))), Some(i128::MIN));
    }

    #[test]
    fn half_precision() {
        let table = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (1, 2_f64.powi(-24)),
            (0xfc00, f64::NEG_INFINITY),
        ];
        for (bits, value) in table {
            assert_eq!(F2.read(&u16::to_le_bytes(bits)), Element::Float(value));
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn types_are_found_by_their_names() {
        for (index, (one, name, size)) in ALL.into_iter().enumerate() {
            assert_eq!((one as usize, NumberType::named(name), one.size()), (index, Some(one), size));
        }
        assert_eq!(NumberType::named(">f8"), None);
    }
}
