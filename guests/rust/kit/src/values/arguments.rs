// SPDX-License-Identifier: Apache-2.0
//! From a payload to the values of a function's parameters.
//!
//! A payload is nothing, raw bytes, one encoded value or an encoded array. All four are read as a
//! sequence of arguments, so that one piece of code decodes them, finds the missing ones and counts
//! the surplus ones.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use polyloop_abi::{FLAG_BYTES, FLAG_EMPTY, FLAG_SPREAD};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::error::Failure;
use crate::signature::Signature;
use crate::values::codec::{Codec, Decode};
use crate::values::misfit::Misfit;
use crate::values::tree::node::Node;

/// A tuple of seeds, one a parameter.
pub trait Parameters<'de>: Copy {
    /// The tuple of what they make.
    type Values;

    /// Reads all arguments; `position` tells which one was being read when that fails.
    ///
    /// # Errors
    /// If one does not fit or is missing, or there are more.
    fn read<A: SeqAccess<'de>>(self, arguments: A, position: &Cell<usize>) -> Result<Self::Values, A::Error>;
}

/// A payload: its codec, its flags and its bytes.
pub type Encoding<'de> = (Codec, u8, &'de [u8]);

/// Decodes the arguments of one call.
pub fn decode<'de, P: Parameters<'de>>(
    payload: Encoding<'de>,
    signature: &Signature,
    parameters: P,
) -> Result<P::Values, Failure> {
    let position = Cell::new(0);
    read(payload, parameters, &position).map_err(|misfit| invalid(signature, position.get(), &misfit))
}

/// Decodes one item of a stream: a payload like a request's, with one argument.
pub fn decode_item<'de, S>(payload: Encoding<'de>, seed: S) -> Result<S::Value, String>
where
    S: DeserializeSeed<'de> + Copy,
{
    read(payload, (seed,), &Cell::new(0)).map(|(value,)| value).map_err(|misfit| misfit.to_string())
}

fn read<'de, P: Parameters<'de>>(
    (codec, flags, payload): Encoding<'de>,
    parameters: P,
    position: &Cell<usize>,
) -> Result<P::Values, Misfit> {
    let spread = flags & FLAG_SPREAD != 0;
    if flags & FLAG_EMPTY != 0 {
        parameters.read(Single::<Node<'_>>(None), position)
    } else if flags & FLAG_BYTES != 0 {
        parameters.read(Single(Some(Node::Bytes(payload))), position)
    } else {
        let outcome = codec.decode(payload, Encoded { parameters, position, spread });
        // The outermost step is the argument itself.
        if spread { outcome.map_err(Misfit::inside) } else { outcome }
    }
}

#[cold]
fn invalid(signature: &Signature, position: usize, misfit: &Misfit) -> Failure {
    let what = misfit.what();
    let message = match signature.parameters.get(position) {
        Some(parameter) => format!("{signature}: argument `{parameter}{}`: {what}", misfit.path()),
        None => format!("{signature}: {what}"),
    };
    Failure::invalid_argument(message)
}

#[derive(Clone, Copy)]
struct Encoded<'p, P> {
    parameters: P,
    position: &'p Cell<usize>,
    spread: bool,
}

impl<'de, P: Parameters<'de>> Decode<'de> for Encoded<'_, P> {
    type Value = P::Values;
    fn decode<D: Deserializer<'de>>(self, deserializer: D) -> Result<P::Values, D::Error> {
        self.position.set(0);
        if self.spread {
            deserializer.deserialize_seq(self)
        } else {
            self.parameters.read(Single(Some(deserializer)), self.position)
        }
    }
}

impl<'de, P: Parameters<'de>> Visitor<'de> for Encoded<'_, P> {
    type Value = P::Values;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of arguments")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, arguments: A) -> Result<P::Values, A::Error> {
        self.parameters.read(arguments, self.position)
    }
}

/// One argument, or none.
struct Single<D>(Option<D>);

impl<'de, D: Deserializer<'de>> SeqAccess<'de> for Single<D> {
    type Error = D::Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, D::Error> {
        self.0.take().map(|deserializer| seed.deserialize(deserializer)).transpose()
    }
}

/// An argument that was not given: right for an option, wrong for everything else.
struct Missing<E>(PhantomData<E>);

impl<'de, E: Error> Deserializer<'de> for Missing<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, E> {
        Err(E::custom("it is missing"))
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

fn next<'de, A: SeqAccess<'de>, S>(arguments: &mut A, seed: S) -> Result<S::Value, A::Error>
where
    S: DeserializeSeed<'de> + Copy,
{
    match arguments.next_element_seed(seed)? {
        Some(value) => Ok(value),
        None => seed.deserialize(Missing(PhantomData)),
    }
}

fn no_more<'de, A: SeqAccess<'de>>(mut arguments: A, count: usize) -> Result<(), A::Error> {
    if arguments.next_element::<IgnoredAny>()?.is_none() {
        return Ok(());
    }
    Err(A::Error::custom(match count {
        0 => "it takes no argument, and got one".to_owned(),
        1 => "it takes one argument, and got more".to_owned(),
        _ => format!("it takes {count} arguments, and got more"),
    }))
}

macro_rules! parameters {
    ($count:literal: $($seed:ident $value:ident),*) => {
        impl<'de, $($seed: DeserializeSeed<'de> + Copy),*> Parameters<'de> for ($($seed,)*) {
            type Values = ($($seed::Value,)*);

            #[allow(non_snake_case, unused_mut, unused_variables, clippy::unused_unit, reason = "one text for every arity")]
            fn read<A: SeqAccess<'de>>(
                self,
                mut arguments: A,
                position: &Cell<usize>,
            ) -> Result<Self::Values, A::Error> {
                let ($($seed,)*) = self;
                $(
                    let $value = next(&mut arguments, $seed)?;
                    position.set(position.get() + 1);
                )*
                no_more(arguments, $count)?;
                Ok(($($value,)*))
            }
        }
    };
}

parameters!(0:);
parameters!(1: S0 v0);
parameters!(2: S0 v0, S1 v1);
parameters!(3: S0 v0, S1 v1, S2 v2);
parameters!(4: S0 v0, S1 v1, S2 v2, S3 v3);
parameters!(5: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4);
parameters!(6: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5);
parameters!(7: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6);
parameters!(8: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6, S7 v7);
parameters!(9: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6, S7 v7, S8 v8);
parameters!(10: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6, S7 v7, S8 v8, S9 v9);
parameters!(11: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6, S7 v7, S8 v8, S9 v9, S10 v10);
parameters!(12: S0 v0, S1 v1, S2 v2, S3 v3, S4 v4, S5 v5, S6 v6, S7 v7, S8 v8, S9 v9, S10 v10, S11 v11);
