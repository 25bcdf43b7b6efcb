// SPDX-License-Identifier: Apache-2.0
//! The module with its table of methods and the two exported symbols beside the functions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Item, ItemMod, Result};

use crate::function::Function;

/// `#[polyloop::guest]`. Mistakes become compile errors beside the untouched module, so that it is
/// still checked.
pub fn guest(options: TokenStream, module: TokenStream) -> TokenStream {
    let untouched = module.clone();
    expand(options, module).unwrap_or_else(|error| {
        let errors = error.to_compile_error();
        quote!(#untouched #errors)
    })
}

fn expand(options: TokenStream, module: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new_spanned(options, "#[polyloop::guest] has no options"));
    }
    let mut module: ItemMod = syn::parse2(module).map_err(|error| {
        Error::new(error.span(), "#[polyloop::guest] stands before a module: `mod functions { pub fn .. }`")
    })?;
    let Some((_, items)) = &mut module.content else {
        return Err(Error::new(
            module.ident.span(),
            "#[polyloop::guest] needs the module's functions here: `mod functions { .. }`",
        ));
    };
    let glue = glue(&functions(items)?)?;
    items.push(Item::Verbatim(glue));
    Ok(quote!(#module))
}

/// All mistakes of all functions are told at once.
fn functions(items: &[Item]) -> Result<Vec<Function>> {
    let mut found = Vec::new();
    let mut mistakes: Option<Error> = None;
    for item in items {
        let Item::Fn(item) = item else { continue };
        match (Function::new(item), &mut mistakes) {
            (Ok(function), _) => found.extend(function),
            (Err(error), Some(mistakes)) => mistakes.combine(error),
            (Err(error), none) => *none = Some(error),
        }
    }
    mistakes.map_or(Ok(found), Err)
}

fn glue(functions: &[Function]) -> Result<TokenStream> {
    let inits = functions.iter().filter(|function| function.is_init());
    let inits = inits.map(Function::init).collect::<Result<Vec<_>>>()?;
    let methods = functions.iter().filter(|function| !function.is_init()).map(Function::method);
    let symbols = symbols();
    Ok(quote! {
        #[allow(unsafe_code, unused_imports, clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks)]
        const _: () = {
            use ::polyloop as __polyloop;
            use ::polyloop::__private as __kit;
            use __kit::tiers::*;

            #[cfg(not(panic = "unwind"))]
            ::core::compile_error!("a guest needs `panic = \"unwind\"`: with `abort` a panic ends the host");

            static GUEST: __kit::Guest = __kit::Guest { inits: &[#(#inits),*], methods: &[#(#methods),*] };
            #symbols
        };
    })
}

fn symbols() -> TokenStream {
    quote! {
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn polyloop_guest_start(
            host: *const __kit::abi::Host,
            runtime: __kit::abi::RuntimeHandle,
            info: *const __kit::abi::StartInfo,
            guest: *mut *mut ::core::ffi::c_void,
        ) -> i32 {
            unsafe { __kit::start(&GUEST, host, runtime, info, guest) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn polyloop_guest_join(guest: *mut ::core::ffi::c_void) {
            unsafe { __kit::join(guest) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(source: &str) -> String {
        expand(TokenStream::new(), source.parse().unwrap()).expect_err("it is refused").to_string()
    }

    fn accepts(function: &str) -> String {
        let source = format!("mod functions {{ {function} }}");
        expand(TokenStream::new(), source.parse().unwrap()).expect("it is accepted").to_string()
    }

    #[test]
    fn what_cannot_be_a_guest_function_is_refused_with_what_to_do() {
        let table = [
            ("pub fn f<T: Copy>(a: T) {}", "concrete types"),
            ("pub fn f<const N: usize>() {}", "concrete types"),
            ("pub fn f(a: impl Copy) {}", "concrete"),
            ("pub fn f(a: &impl Copy) {}", "concrete"),
            ("pub fn f(&self) {}", "no `self`"),
            ("pub fn f(self: Box<Self>) {}", "no `self`"),
            ("pub fn f(a: &mut Vec<u8>) {}", "take it by value"),
            ("pub fn f(a: &'static str) {}", "take an owned type"),
            ("pub fn f(a: Vec<&str>) {}", "`Vec<String>`"),
            ("pub fn f(a: Option<Vec<&[u8]>>) {}", "`Vec<String>`"),
            ("pub unsafe fn f() {}", "is safe"),
            ("pub extern \"C\" fn f() {}", "plain `pub fn`"),
            ("pub fn init(a: u8, b: u8) {}", "the config"),
            ("pub fn init(a: Input<u8>) {}", "no streams"),
            ("pub fn init() -> impl Iterator<Item = u8> {}", "no streams"),
            ("pub fn f(a: Input<u8>, b: u8) {}", "move it to the end"),
            ("pub fn f(a: polyloop::Input<u8>, b: Input<u8>) {}", "the only one"),
            ("pub fn f(a: &Input<u8>) {}", "by value"),
            ("pub fn f(a: &mut Input<u8>) {}", "by value"),
            ("pub fn f(a: Option<Input<u8>>) {}", "by value"),
            ("pub fn f(a: Input<&str>) {}", "`Vec<String>`"),
        ];
        for (function, said) in table {
            let message = mistake(&format!("mod functions {{ {function} }}"));
            assert!(message.contains(said), "{function}: {message}");
        }
    }

    #[test]
    fn the_attribute_stands_before_a_module_with_a_body() {
        assert!(mistake("fn f() {}").contains("before a module"));
        assert!(mistake("mod functions;").contains("needs the module's functions here"));
    }

    #[test]
    fn every_mistake_is_told_not_only_the_first() {
        let source = "mod functions { pub fn f(a: &mut u8) {} pub fn g<T>(a: T) {} }";
        let error = expand(TokenStream::new(), source.parse().unwrap()).unwrap_err();
        assert_eq!(error.into_iter().count(), 2);
    }

    #[test]
    fn only_pub_functions_are_exported_and_names_lose_their_raw_prefix() {
        let text = accepts("pub fn r#match(r#type: u8) {} fn hidden() {} pub(crate) fn inside() {}");
        assert!(text.contains("name : \"match\" , parameters : & [\"type\"]"), "{text}");
        assert!(!text.contains("\"hidden\"") && !text.contains("\"inside\""));
    }

    #[test]
    fn a_cfg_goes_with_the_function_into_the_table() {
        let text = accepts("#[cfg(feature = \"extra\")] #[doc = \"x\"] pub fn f() {}");
        assert_eq!(text.matches("cfg (feature = \"extra\")").count(), 2, "{text}");
    }

    #[test]
    fn streams_and_inputs_are_told_in_the_table() {
        let flags = |function: &str| {
            let text = accepts(function);
            let is = |field: &str| text.contains(&format!("{field} : true"));
            (is("is_async"), is("takes_input"), is("streams"))
        };
        assert_eq!(flags("pub fn f() {}"), (false, false, false));
        assert_eq!(flags("pub fn f() -> impl Iterator<Item = u8> {}"), (false, false, true));
        assert_eq!(flags("pub fn f() -> impl Stream<Item = u8> {}"), (true, false, true));
        assert_eq!(flags("pub async fn f(a: u8, b: Input<u8>) {}"), (true, true, false));
        let text = accepts("pub fn f(a: u8, mut b: Input<u8>) {}");
        assert!(text.contains("[\"a\" , \"b\"]") && text.contains("f (argument_0 , input)"), "{text}");
    }

    #[test]
    fn references_are_lent_from_an_owner() {
        let text = accepts(
            "pub fn f<'a>(a: &'a str, b: Option<&'a [u8]>, c: &[u32], d: &Config, (e, _): (u8, u8)) {}",
        );
        assert!(
            text.contains(
                "& argument_0 , argument_1 . as_deref () , & argument_2 , & argument_3 , argument_4"
            )
        );
        assert!(text.contains("[\"a\" , \"b\" , \"c\" , \"d\" , \"arg5\"]"));
    }
}
