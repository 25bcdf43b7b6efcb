// SPDX-License-Identifier: Apache-2.0
//! Whether a function returns a value or a stream of items, by how its type is written.

use syn::punctuated::Punctuated;
use syn::{ReturnType, Token, Type, TypeParamBound};

use crate::parameter::first_argument;

/// What a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// One value, or none.
    Value,
    /// `impl Iterator`, `Box<dyn Iterator>`, or a `Result` of one.
    Iterator,
    /// `impl Stream`, `Pin<Box<dyn Stream>>`, or a `Result` of one.
    Stream,
}

impl Output {
    /// Reads a return type. An alias for a stream is not seen through: the compiler then says that
    /// it is no value.
    pub fn of(output: &ReturnType) -> Self {
        match output {
            ReturnType::Default => Self::Value,
            ReturnType::Type(_, ty) => {
                Self::of_stream(first_argument(ty, "Result").unwrap_or(ty)).unwrap_or(Self::Value)
            }
        }
    }

    fn of_stream(ty: &Type) -> Option<Self> {
        match ty {
            Type::ImplTrait(it) => Self::of_bounds(&it.bounds),
            Type::TraitObject(it) => Self::of_bounds(&it.bounds),
            Type::Paren(it) => Self::of_stream(&it.elem),
            Type::Group(it) => Self::of_stream(&it.elem),
            other => {
                let inner = first_argument(other, "Box").or_else(|| first_argument(other, "Pin"))?;
                Self::of_stream(inner)
            }
        }
    }

    fn of_bounds(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Self> {
        bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => match bound.path.segments.last()?.ident.to_string().as_str() {
                "Iterator" => Some(Self::Iterator),
                "Stream" => Some(Self::Stream),
                _ => None,
            },
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_known_by_how_they_are_written() {
        let table = [
            ("-> impl Iterator<Item = u8>", Output::Iterator),
            ("-> impl Send + std::iter::Iterator<Item = u8> + 'static", Output::Iterator),
            ("-> (impl Iterator<Item = u8> + use<>)", Output::Iterator),
            ("-> Result<impl Iterator<Item = u8>, Error>", Output::Iterator),
            ("-> anyhow::Result<impl polyloop::Stream<Item = u8>>", Output::Stream),
            ("-> impl Stream<Item = Result<u8, Error>> + Send", Output::Stream),
            ("-> Box<dyn Iterator<Item = u8> + Send>", Output::Iterator),
            ("-> std::pin::Pin<Box<dyn Stream<Item = u8> + Send>>", Output::Stream),
            ("-> Result<Pin<Box<dyn Stream<Item = u8> + Send>>, Error>", Output::Stream),
            ("", Output::Value),
            ("-> Vec<u8>", Output::Value),
            ("-> Result<Vec<u8>, Error>", Output::Value),
            ("-> Box<[u8]>", Output::Value),
            ("-> impl Serialize", Output::Value),
        ];
        for (source, output) in table {
            assert_eq!(Output::of(&syn::parse_str(source).unwrap()), output, "{source}");
        }
    }
}
