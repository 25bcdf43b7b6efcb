// SPDX-License-Identifier: Apache-2.0
//! The attribute of the crate `polyloop`, which documents it.

use proc_macro::TokenStream;

mod expand;
mod function;
mod output;
mod parameter;

/// Exports every `pub fn` of a module to a Polyloop host. See the crate `polyloop`.
#[proc_macro_attribute]
pub fn guest(options: TokenStream, module: TokenStream) -> TokenStream {
    expand::guest(options.into(), module.into()).into()
}
