// SPDX-License-Identifier: Apache-2.0
//! Arrays of numbers: typed arrays of the host's, and what `numpy` calls `ndarray`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{BorrowedBytesDeserializer, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::values::misfit::Misfit;
use crate::values::names::ARRAY;
use crate::values::numbers::{Element, Number, NumberType};
use crate::values::tree::node::Array;

/// Numbers with a shape, row by row: a typed array on the other side if it has one dimension, and an
/// `NdArray` otherwise.
///
/// As an argument it borrows the numbers from the request if they are of its type, within another
/// type it has a copy. Numbers of another type are copied, if every one of them is a `T` without
/// loss. A list of numbers is an array of one dimension, too.
///
/// ```
/// use polyloop::NdArray;
///
/// fn halves(image: NdArray<'_, f32>) -> NdArray<'static, f32> {
///     let numbers: Vec<f32> = image.iter().map(|number| number / 2.0).collect();
///     NdArray::new(numbers, image.shape()).expect("as many numbers as before")
/// }
///
/// let image = NdArray::new(vec![2.0, 4.0, 6.0, 8.0], &[2, 2]).unwrap();
/// assert_eq!(halves(image).data(), [1.0, 2.0, 3.0, 4.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NdArray<'a, T: Number> {
    data: Cow<'a, [T]>,
    shape: Vec<usize>,
}

/// The shape has another number of numbers than there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    count: usize,
    shape: Vec<usize>,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an array of {} numbers cannot have the shape {:?}", self.count, self.shape)
    }
}

impl std::error::Error for ShapeError {}

impl<'a, T: Number> NdArray<'a, T> {
    /// Numbers, the last dimension first, with the length of each dimension.
    ///
    /// # Errors
    /// If the product of the lengths is not the number of numbers.
    pub fn new(data: impl Into<Cow<'a, [T]>>, shape: &[usize]) -> Result<Self, ShapeError> {
        let data = data.into();
        let product = shape.iter().try_fold(1_usize, |product, one| product.checked_mul(*one));
        if product == Some(data.len()) {
            return Ok(Self { data, shape: shape.to_vec() });
        }
        Err(ShapeError { count: data.len(), shape: shape.to_vec() })
    }

    /// All numbers.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The length of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, without the shape: borrowed if the array did.
    pub fn into_data(self) -> Cow<'a, [T]> {
        self.data
    }

    /// The numbers of an array that came, without a copy if they are of this type and lie as it
    /// needs them.
    fn of(array: &Array<'a>) -> Result<Self, Misfit> {
        let shape = array.shape.clone();
        if array.number == T::TYPE
            && !(array.is_list && T::TYPE != NumberType::F8)
            && let Ok(data) = bytemuck::try_cast_slice(array.bytes)
        {
            return Ok(Self { data: Cow::Borrowed(data), shape });
        }
        let numbers = array.bytes.chunks_exact(array.number.size()).enumerate();
        let exact = |(index, bytes)| {
            let element = array.number.read(bytes);
            number(element, array.is_list).ok_or_else(|| {
                let what = format!("{element} is no {} without loss", std::any::type_name::<T>());
                Misfit::new(what).in_item(index)
            })
        };
        Ok(Self { data: Cow::Owned(numbers.map(exact).collect::<Result<_, _>>()?), shape })
    }
}

/// A number of an array as a `T`; one of a list is JSON's, of which the nearest `f32` is taken.
fn number<T: Number>(element: Element, is_list: bool) -> Option<T> {
    match element {
        Element::Float(value) if is_list && T::TYPE == NumberType::F4 => {
            T::exact(Element::Float(f64::from(value as f32)))
        }
        other => T::exact(other),
    }
}

impl<T: Number> std::ops::Deref for NdArray<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data
    }
}

impl<T: Number> From<Vec<T>> for NdArray<'static, T> {
    fn from(data: Vec<T>) -> Self {
        Self { shape: vec![data.len()], data: Cow::Owned(data) }
    }
}

impl<'a, T: Number> From<&'a [T]> for NdArray<'a, T> {
    fn from(data: &'a [T]) -> Self {
        Self { shape: vec![data.len()], data: Cow::Borrowed(data) }
    }
}

thread_local! {
    /// Whether the kit's own writer asks: it takes bytes, and a shape beside them; others get lists.
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static DESCRIPTION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Serializes what an [`ARRAY`] is: if it is one, `serializer` sees one run of bytes, and
/// [`description`] then has its type and shape.
///
/// # Errors
/// Those of the serializer.
pub fn as_bytes<S: Serializer, T: Serialize + ?Sized>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    ASKED.set(true);
    let outcome = value.serialize(serializer);
    ASKED.set(false);
    outcome
}

/// Type and shape of the array whose bytes are being serialized.
pub fn description() -> Option<String> {
    DESCRIPTION.take()
}

impl<T: Number + Serialize> Serialize for NdArray<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(ARRAY, &Lists { data: &self.data, shape: &self.shape })
    }
}

/// Numbers as nested lists.
struct Lists<'a, T> {
    data: &'a [T],
    shape: &'a [usize],
}

impl<T: Number + Serialize> Serialize for Lists<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if ASKED.take() {
            let shape = self.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            DESCRIPTION.set(Some(format!("\"{}\",[{shape}]", T::TYPE.name())));
            return serializer.serialize_bytes(bytemuck::cast_slice(self.data));
        }
        match self.shape {
            [] => self.data[0].serialize(serializer),
            [_] => serializer.collect_seq(self.data),
            [0, ..] => serializer.collect_seq(std::iter::empty::<()>()),
            [length, shape @ ..] => {
                let size = self.data.len() / length;
                let row = |index| Lists { data: &self.data[index * size..(index + 1) * size], shape };
                serializer.collect_seq((0..*length).map(row))
            }
        }
    }
}

/// An array on its way to a visitor of one: its type, its shape and its bytes.
pub struct Parts<'de> {
    array: Array<'de>,
    next: u8,
}

impl<'de> Parts<'de> {
    /// The parts of an array.
    pub fn new(array: Array<'de>) -> Self {
        Self { array, next: 0 }
    }
}

impl<'de> MapAccess<'de> for Parts<'de> {
    type Error = Misfit;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        seed.deserialize(self.next.into_deserializer()).map(Some)
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        self.next += 1;
        match self.next {
            1 => seed.deserialize(self.array.number.name().into_deserializer()),
            2 => seed.deserialize(self.array.is_list.into_deserializer()),
            3 => seed.deserialize(SeqDeserializer::new(self.array.shape.iter().copied())),
            _ => seed.deserialize(BorrowedBytesDeserializer::new(self.array.bytes)),
        }
    }
}

struct ArrayVisitor<T>(PhantomData<T>);

fn borrowed<'de, D: Deserializer<'de>, T: Number>(deserializer: D) -> Result<NdArray<'de, T>, D::Error> {
    deserializer.deserialize_newtype_struct(ARRAY, ArrayVisitor(PhantomData))
}

/// Within another type the numbers are copied, so that the type owns them.
impl<'de, T: Number> Deserialize<'de> for NdArray<'_, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NdArray { data, shape } = borrowed(deserializer)?;
        Ok(Self { data: Cow::Owned(data.into_owned()), shape })
    }
}

impl<'de, T: Number> Visitor<'de> for ArrayVisitor<T> {
    type Value = NdArray<'de, T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an array of {}", std::any::type_name::<T>())
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Self::Value, A::Error> {
        let mut data = Vec::with_capacity(numbers.size_hint().unwrap_or(0).min(1 << 16));
        while let Some(number) = numbers.next_element::<T>()? {
            data.push(number);
        }
        Ok(NdArray::from(data))
    }

    /// Only arrays come so; a map of another format has no such values, or makes an array of them.
    fn visit_map<A: MapAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let name: String = value(&mut parts)?;
        let number = NumberType::named(&name).ok_or_else(|| A::Error::custom("no type of numbers"))?;
        let is_list = value(&mut parts)?;
        let shape = value(&mut parts)?;
        let bytes = value(&mut parts)?;
        let mut array = Array::new(number, shape, bytes).map_err(A::Error::custom)?;
        array.is_list = is_list;
        NdArray::of(&array).map_err(A::Error::custom)
    }
}

fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_key::<u8>()?;
    parts.next_value()
}

/// Types that are numbers in one row, or an array of them.
pub trait FromNumbers<'de>: Sized {
    /// What the numbers are.
    type Number: Number;
    /// From an array.
    ///
    /// # Errors
    /// If this type has no such shape.
    fn made(array: NdArray<'de, Self::Number>) -> Result<Self, String>;
}

impl<'de, T: Number> FromNumbers<'de> for NdArray<'de, T> {
    type Number = T;
    fn made(array: Self) -> Result<Self, String> {
        Ok(array)
    }
}

fn row<T: Number>(array: NdArray<'_, T>) -> Result<Cow<'_, [T]>, String> {
    match array.shape() {
        [_] => Ok(array.into_data()),
        shape => Err(format!("an array of the shape {shape:?}, expected one dimension (or take an NdArray)")),
    }
}

// Not for `u8`: those are bytes.
macro_rules! rows {
    ($($type:ty),*) => {$(
        impl<'de> FromNumbers<'de> for Cow<'de, [$type]> {
            type Number = $type;
            fn made(array: NdArray<'de, $type>) -> Result<Self, String> {
                row(array)
            }
        }
        impl<'de> FromNumbers<'de> for Vec<$type> {
            type Number = $type;
            fn made(array: NdArray<'de, $type>) -> Result<Self, String> {
                row(array).map(Cow::into_owned)
            }
        }
        impl<'de> FromNumbers<'de> for Box<[$type]> {
            type Number = $type;
            fn made(array: NdArray<'de, $type>) -> Result<Self, String> {
                row(array).map(Into::into)
            }
        }
    )*};
}
rows!(i8, i16, u16, i32, u32, i64, u64, f32, f64);

/// The seed of numbers.
pub struct Numbers<B>(PhantomData<B>);

impl<B> Numbers<B> {
    /// The only one.
    pub const NEW: Self = Self(PhantomData);
}

impl<B> Clone for Numbers<B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for Numbers<B> {}

impl<'de, B: FromNumbers<'de>> DeserializeSeed<'de> for Numbers<B> {
    type Value = B;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<B, D::Error> {
        let array = borrowed(deserializer)?;
        B::made(array).map_err(D::Error::custom)
    }
}

#[cfg(feature = "ndarray")]
mod with_ndarray {
    use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IxDyn};

    use super::{Cow, NdArray, Number};

    impl<T: Number> NdArray<'_, T> {
        /// The array as the crate `ndarray` has it, without a copy.
        ///
        /// # Panics
        /// Never: there are as many numbers as the shape says.
        pub fn view(&self) -> ArrayViewD<'_, T> {
            ArrayViewD::from_shape(IxDyn(&self.shape), &self.data).expect("the shape fits")
        }
    }

    impl<T: Number, D: Dimension> From<Array<T, D>> for NdArray<'static, T> {
        fn from(array: Array<T, D>) -> Self {
            let shape = array.shape().to_vec();
            // Row by row, also if they lie otherwise; `to_vec` of a slice is one copy.
            let data = array.as_slice().map_or_else(|| array.iter().copied().collect(), <[T]>::to_vec);
            Self { data: Cow::Owned(data), shape }
        }
    }

    impl<T: Number> From<NdArray<'_, T>> for ArrayD<T> {
        fn from(array: NdArray<'_, T>) -> Self {
            let NdArray { data, shape } = array;
            Self::from_shape_vec(IxDyn(&shape), data.into_owned()).expect("the shape fits")
        }
    }
}
