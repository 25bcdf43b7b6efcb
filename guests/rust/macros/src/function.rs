// SPDX-License-Identifier: Apache-2.0
//! One function of the module: what it takes, and the code that calls it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericParam, ItemFn, Result, ReturnType, Safety, Signature, Visibility};

use crate::output::Output;
use crate::parameter::{InputParameter, Parameter, plain};

/// A `pub fn` of the module.
pub struct Function {
    cfgs: Vec<Attribute>,
    ident: Ident,
    parameters: Vec<Parameter>,
    input: Option<InputParameter>,
    output: Output,
    /// Where the type of the result stands: what is wrong with it is shown there.
    result: Span,
    is_async: bool,
}

impl Function {
    /// Reads a function; `None` for one that is not `pub`.
    pub fn new(item: &ItemFn) -> Result<Option<Self>> {
        if !matches!(item.vis, Visibility::Public(_)) {
            return Ok(None);
        }
        callable(&item.sig)?;
        let (parameters, input) = parameters(&item.sig)?;
        Ok(Some(Self {
            cfgs: item.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect(),
            ident: item.sig.ident.clone(),
            parameters,
            input,
            output: Output::of(&item.sig.output),
            result: result(&item.sig),
            is_async: item.sig.asyncness.is_some(),
        }))
    }

    /// Whether this is the function that runs once, at the start.
    pub fn is_init(&self) -> bool {
        self.ident == "init"
    }

    /// Its entry in the table of methods.
    pub fn method(&self) -> TokenStream {
        let cfgs = &self.cfgs;
        let signature = self.signature();
        let entry = if self.is_later() { self.async_entry() } else { self.sync_entry() };
        quote! {
            #(#cfgs)*
            __kit::Method {
                signature: #signature,
                entry: { #entry entry },
            }
        }
    }

    /// Whether the function runs on the executor.
    fn is_later(&self) -> bool {
        self.is_async || self.output == Output::Stream
    }

    /// Its entry in the table of inits, if the function is `init`.
    ///
    /// # Errors
    /// If the function takes more than the config, or streams.
    pub fn init(&self) -> Result<TokenStream> {
        if self.input.is_some() || self.output != Output::Value {
            return Err(Error::new(
                self.ident.span(),
                "`init` has no streams: it runs before there are calls",
            ));
        }
        if self.parameters.len() > 1 {
            return Err(Error::new(self.ident.span(), "`init` takes one argument, the config, or none"));
        }
        let cfgs = &self.cfgs;
        let (signature, arguments, invocation) = (self.signature(), self.arguments(), self.invocation());
        let value =
            if self.is_async { quote!(__polyloop::__wait!(call, #invocation)) } else { quote!(#invocation) };
        Ok(quote! {
            #(#cfgs)*
            __kit::Init { signature: #signature, entry: {
                fn entry(call: &__kit::Setup<'_>) -> __kit::Result<(), __kit::Failure> {
                    #arguments
                    __polyloop::__outcome!(#value).map(|_| ())
                }
                entry
            } }
        })
    }

    fn sync_entry(&self) -> TokenStream {
        let (arguments, invocation) = (self.arguments(), self.invocation());
        let answer = match self.output {
            Output::Value => quote_spanned!(self.result=> __polyloop::__answer!(call, value)),
            Output::Iterator | Output::Stream => {
                quote_spanned!(self.result=> __polyloop::__pour!(call, value))
            }
        };
        quote! {
            fn entry(call: __kit::Call<'_>) {
                __kit::run(&call, |call| { #arguments let value = #invocation; #answer });
            }
        }
    }

    fn async_entry(&self) -> TokenStream {
        let (arguments, invocation) = (self.arguments(), self.invocation());
        let value = if self.is_async { quote!(#invocation.await) } else { invocation };
        let answer = match self.output {
            Output::Value => quote_spanned!(self.result=> __polyloop::__answer_later!(call, value)),
            Output::Iterator => {
                quote_spanned!(self.result=> __polyloop::__pour_later!(call, value, __kit::Each))
            }
            Output::Stream => {
                quote_spanned!(self.result=> __polyloop::__pour_later!(call, value, ::core::convert::identity))
            }
        };
        let spawn = quote_spanned!(self.ident.span()=> __polyloop::__spawn!(call, body));
        quote! {
            async fn body(call: &__kit::Call<'_>) -> __kit::Result<(), __kit::Failure> {
                #arguments
                let value = #value;
                #answer
            }
            fn entry(call: __kit::Call<'_>) { #spawn }
        }
    }

    fn signature(&self) -> TokenStream {
        let name = plain(&self.ident);
        let parameters = self.parameters.iter().map(|parameter| &parameter.name);
        let parameters = parameters.chain(self.input.iter().map(|input| &input.name));
        let is_async = self.is_later();
        let (takes_input, streams) = (self.input.is_some(), self.output != Output::Value);
        quote! {
            __kit::Signature {
                name: #name,
                parameters: &[#(#parameters),*],
                is_async: #is_async,
                takes_input: #takes_input,
                streams: #streams,
            }
        }
    }

    fn arguments(&self) -> TokenStream {
        let variables = self.variables();
        let seeds = self.parameters.iter().map(Parameter::seed);
        let input = self.input.as_ref().map(|input| {
            let decoder = input.decoder();
            quote!(let input = call.input(#decoder)?;)
        });
        quote! {
            let (#(#variables,)*) = call.arguments((#(#seeds,)*))?;
            #input
        }
    }

    fn invocation(&self) -> TokenStream {
        let ident = &self.ident;
        let variables = self.variables();
        let passed =
            self.parameters.iter().zip(&variables).map(|(parameter, it)| parameter.pass(&quote!(#it)));
        let passed = passed.chain(self.input.iter().map(|_| quote!(input)));
        quote!(self::#ident(#(#passed),*))
    }

    fn variables(&self) -> Vec<Ident> {
        (0..self.parameters.len()).map(|index| format_ident!("argument_{index}")).collect()
    }
}

fn result(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}

fn callable(signature: &Signature) -> Result<()> {
    let generic = |parameter: &&GenericParam| !matches!(parameter, GenericParam::Lifetime(_));
    if let Some(parameter) = signature.generics.params.iter().find(generic) {
        return Err(Error::new(
            parameter.span(),
            "an exported function has concrete types: the host cannot choose one (a helper need not be `pub`)",
        ));
    }
    if let Safety::Unsafe(keyword) = &signature.safety {
        return Err(Error::new(
            keyword.span(),
            "an exported function is safe: any caller may give any arguments",
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new(abi.span(), "write a plain `pub fn`: the attribute makes what C needs"));
    }
    if signature.inputs.len() > 12 {
        return Err(Error::new(signature.inputs.span(), "at most 12 arguments: take a struct"));
    }
    Ok(())
}

/// The parameters, and the stream after them.
fn parameters(signature: &Signature) -> Result<(Vec<Parameter>, Option<InputParameter>)> {
    let mut parameters = Vec::new();
    let mut input: Option<InputParameter> = None;
    for (index, argument) in signature.inputs.iter().enumerate() {
        let typed = match argument {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let what = "an exported function has no `self`: keep state in a static";
                return Err(Error::new(receiver.span(), what));
            }
        };
        if let Some(input) = &input {
            return Err(input.misplaced());
        }
        match InputParameter::new(index, typed)? {
            Some(found) => input = Some(found),
            None => parameters.push(Parameter::new(index, typed)?),
        }
    }
    Ok((parameters, input))
}
