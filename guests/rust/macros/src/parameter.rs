// SPDX-License-Identifier: Apache-2.0
//! How one parameter is decoded, and how it is passed on.
//!
//! References are decoded into an owner that lives in the generated function and lent to the
//! guest's function, so that `&str` takes a string with escapes and `&Config` any type that serde
//! can make.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::visit_mut::VisitMut;
use syn::{
    Error, GenericArgument, Ident, Lifetime, Pat, PatType, PathArguments, Result, Type, TypeReference,
};

/// A parameter of an exported function.
pub struct Parameter {
    /// Its name in the manifest.
    pub name: String,
    span: Span,
    lent: Lent,
    optional: bool,
}

/// A last parameter `Input<T>`: the stream of the call.
pub struct InputParameter {
    /// Its name in the manifest.
    pub name: String,
    span: Span,
    item: Type,
}

impl InputParameter {
    /// Reads the parameter at `index` (from 0); `None` for one that is no `Input`.
    ///
    /// # Errors
    /// If the parameter is not an `Input` of owned items by value.
    pub fn new(index: usize, argument: &PatType) -> Result<Option<Self>> {
        let ty = &*argument.ty;
        if let Some(item) = item_of_input(ty) {
            no_reference_within(item)?;
            return Ok(Some(Self { name: name(index, &argument.pat), span: ty.span(), item: item.clone() }));
        }
        let wrapped = match ty {
            Type::Reference(reference) => Some(&*reference.elem),
            other => first_argument(other, "Option"),
        };
        match wrapped.and_then(item_of_input) {
            Some(_) => Err(Error::new(ty.span(), "an `Input` is taken by value: `numbers: Input<f64>`")),
            None => Ok(None),
        }
    }

    /// The mistake of an `Input` that is not the last.
    pub fn misplaced(&self) -> Error {
        Error::new(self.span, "an `Input` is the last parameter, and the only one: move it to the end")
    }

    /// The function that decodes an item.
    pub fn decoder(&self) -> TokenStream {
        let item = &self.item;
        quote_spanned!(self.span=> |item| item.decode((&&__kit::Type::<#item>::NEW).seed(item.source())))
    }
}

/// `T` of `Input<T>`, by whatever path.
fn item_of_input(ty: &Type) -> Option<&Type> {
    first_argument(ty, "Input")
}

/// What is decoded, and whether the function gets or borrows that.
enum Lent {
    Given(Type),
    Text,
    Binary,
    Slice(Type),
    Reference(Type),
}

impl Parameter {
    /// Reads the parameter at `index` (from 0).
    pub fn new(index: usize, argument: &PatType) -> Result<Self> {
        let mut ty = (*argument.ty).clone();
        AnonymousLifetimes.visit_type_mut(&mut ty);
        let span = argument.ty.span();
        let (lent, optional) = match option_of_reference(&ty) {
            Some(inner) => (Lent::of(inner)?, true),
            None => (Lent::of(&ty)?, false),
        };
        Ok(Self { name: name(index, &argument.pat), span, lent, optional })
    }

    /// The seed that decodes the parameter; `call` is in scope.
    pub fn seed(&self) -> TokenStream {
        let lent =
            |ty: TokenStream| quote_spanned!(self.span=> (&&__kit::Lent::<#ty>::NEW).seed(call.source()));
        let seed = match &self.lent {
            Lent::Given(ty) => quote_spanned!(self.span=> (&&__kit::Type::<#ty>::NEW).seed(call.source())),
            Lent::Text => quote!(__kit::Text),
            Lent::Binary => lent(quote!(__kit::Cow<'_, [u8]>)),
            Lent::Slice(ty) if is_number(ty) => lent(quote!(__kit::Cow<'_, [#ty]>)),
            Lent::Slice(ty) => lent(quote!(__kit::Vec<#ty>)),
            Lent::Reference(ty) => lent(quote!(#ty)),
        };
        if self.optional { quote!(__kit::Optional(#seed)) } else { seed }
    }

    /// How the decoded `variable` is passed to the function.
    pub fn pass(&self, variable: &TokenStream) -> TokenStream {
        match (&self.lent, self.optional) {
            (Lent::Given(_), _) => quote!(#variable),
            (Lent::Reference(_), true) => quote!(#variable.as_ref()),
            (_, true) => quote!(#variable.as_deref()),
            (_, false) => quote!(&#variable),
        }
    }
}

impl Lent {
    fn of(ty: &Type) -> Result<Self> {
        let Type::Reference(reference) = ty else {
            return no_reference_within(ty).map(|()| Self::Given(ty.clone()));
        };
        lifetime_of_a_request(reference)?;
        no_reference_within(&reference.elem)?;
        Ok(match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => Self::Text,
            Type::Slice(slice) => match &*slice.elem {
                Type::Path(item) if item.path.is_ident("u8") => Self::Binary,
                item => Self::Slice(item.clone()),
            },
            other => Self::Reference(other.clone()),
        })
    }
}

/// Numbers that are borrowed where they lie. By another name they are copied.
fn is_number(ty: &Type) -> bool {
    const NUMBERS: [&str; 9] = ["i8", "i16", "i32", "i64", "u16", "u32", "u64", "f32", "f64"];
    let Type::Path(path) = ty else { return false };
    path.path.get_ident().is_some_and(|ident| NUMBERS.iter().any(|name| ident == name))
}

fn lifetime_of_a_request(reference: &TypeReference) -> Result<()> {
    if let Some(mutable) = &reference.mutability {
        return Err(Error::new(mutable.span(), "an argument cannot be `&mut`: take it by value"));
    }
    match &reference.lifetime {
        Some(lifetime) if lifetime.ident == "static" => Err(Error::new(
            lifetime.span(),
            "an argument lives until the call is answered, not for `'static`: take an owned type",
        )),
        _ => Ok(()),
    }
}

/// `Option<&T>`: the reference within.
fn option_of_reference(ty: &Type) -> Option<&Type> {
    first_argument(ty, "Option").filter(|inner| matches!(inner, Type::Reference(_)))
}

/// The first type argument of a type of this name, by whatever path.
pub fn first_argument<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(inner) => Some(inner),
        _ => None,
    }
}

/// `Vec<&str>` would fail on the first string with an escape in it: at run time, and only then.
fn no_reference_within(ty: &Type) -> Result<()> {
    struct Find(Option<Span>);
    impl<'ast> Visit<'ast> for Find {
        fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
            self.0 = Some(reference.span());
        }
        fn visit_type_impl_trait(&mut self, node: &'ast syn::TypeImplTrait) {
            self.0 = Some(node.span());
        }
    }
    let mut find = Find(None);
    find.visit_type(ty);
    match find.0 {
        None => Ok(()),
        Some(span) => Err(Error::new(
            span,
            "the type of an argument is concrete and owns what it contains (`Vec<String>`, not `Vec<&str>`); \
             references work at the top: `&str`, `&[u8]`, `&Config`, `Option<&str>`",
        )),
    }
}

/// The generated function names no lifetimes: it lets them be inferred.
struct AnonymousLifetimes;

impl VisitMut for AnonymousLifetimes {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            *lifetime = Lifetime::new("'_", lifetime.span());
        }
    }
}

/// The name without `r#`.
pub fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

fn name(index: usize, pattern: &Pat) -> String {
    match pattern {
        Pat::Ident(ident) => plain(&ident.ident),
        _ => format!("arg{}", index + 1),
    }
}
