// SPDX-License-Identifier: Apache-2.0
//! Errors: the one that a guest author may make, and the object that crosses to the host.

use std::any::type_name;
use std::error::Error as StdErrorTrait;
use std::fmt::{self, Display, Write};

use serde::Serialize;

use crate::kind::Kind;
use crate::signature::Signature;

type Source = Box<dyn StdErrorTrait + Send + Sync>;

/// The code of what the caller gave up.
pub const CANCELLED: &str = "cancelled";
/// The code of arguments, and of items, that do not fit.
pub const INVALID_ARGUMENT: &str = "invalid-argument";

/// How many causes are told.
const CHAIN: usize = 32;

/// An error with a code of the application's own, which the caller finds as `error.guest.code`.
///
/// Functions may return any other error just as well; this one is for callers that tell errors
/// apart. This one keeps its code and `rc` wherever it stands in a chain of causes.
///
/// ```
/// fn parse(text: &str) -> Result<u8, polyloop::Error> {
///     text.parse().map_err(|cause| polyloop::Error::new("not-a-number", "give me 0 to 255").because(cause))
/// }
/// assert_eq!(parse("x").unwrap_err().to_string(), "give me 0 to 255");
/// ```
#[derive(Debug)]
pub struct Error {
    /// What the caller compares with.
    pub code: String,
    /// A number for callers that want one; 1 unless set.
    pub rc: i32,
    /// One sentence for people.
    pub message: String,
    source: Option<Source>,
}

impl Error {
    /// An error with a code and a message.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), rc: 1, message: message.into(), source: None }
    }

    /// With another `rc` than 1.
    #[must_use]
    pub fn rc(mut self, rc: i32) -> Self {
        self.rc = rc;
        self
    }

    /// With the error that caused it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Source>) -> Self {
        self.source = Some(cause.into());
        self
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdErrorTrait for Error {
    fn source(&self) -> Option<&(dyn StdErrorTrait + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An error as the host gets errors.
#[derive(Debug, Default, Serialize)]
struct Object {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(rename = "type")]
    type_name: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rc: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Box<Object>>,
}

/// Why a call, or a start, failed.
#[derive(Debug)]
pub struct Failure(Box<Object>);

impl Failure {
    /// An error and its causes.
    pub fn of(error: &(dyn StdErrorTrait + 'static), type_name: Option<&str>) -> Self {
        Self(Box::new(Object::of(error, type_name, CHAIN)))
    }

    /// Something that can only be shown.
    pub fn text(message: impl Display, type_name: &str) -> Self {
        let (type_name, message) = (type_name.to_owned(), message.to_string());
        Self(Box::new(Object { type_name, message, ..Object::default() }))
    }

    /// A panic; `stack` says where.
    pub fn panic(message: String, stack: Option<String>) -> Self {
        Self(Box::new(Object { type_name: "panic".to_owned(), message, stack, ..Object::default() }))
    }

    /// The arguments do not fit the function.
    pub fn invalid_argument(message: String) -> Self {
        Self::coded(INVALID_ARGUMENT, "InvalidArgument", message)
    }

    /// The codec cannot carry what the function returned.
    pub fn invalid_result(signature: &Signature, codec: &str, what: &str) -> Self {
        let message = format!("{signature}: {codec} cannot carry what it returned: {what}");
        Self::coded("invalid-result", "InvalidResult", message)
    }

    /// The call was given up.
    pub fn unanswered(signature: &Signature) -> Self {
        let message = format!("{signature}: the guest gave the call up without an answer");
        Self::coded("unanswered", "Unanswered", message)
    }

    /// The caller gave the call up.
    pub fn cancelled(signature: &Signature) -> Self {
        Self::coded(CANCELLED, "Cancelled", format!("{signature}: the caller gave the call up"))
    }

    /// The host refuses an item of the response stream.
    pub fn item_refused(signature: &Signature, len: usize) -> Self {
        let why = "it is larger than `maxPayload`, or there is no memory for it";
        let message = format!("{signature}: the host takes no item of {len} bytes: {why}");
        Self::coded("too-large", "TooLarge", message)
    }

    fn coded(code: &str, type_name: &str, message: String) -> Self {
        let (code, type_name) = (Some(code.to_owned()), type_name.to_owned());
        Self(Box::new(Object { code, type_name, message, ..Object::default() }))
    }

    /// The number that `start` returns: never 0.
    pub fn rc(&self) -> i32 {
        self.0.rc.filter(|rc| *rc != 0).unwrap_or(1)
    }

    /// The object as `Host::respond` and `Host::fail` take it.
    ///
    /// # Panics
    /// Never: strings and numbers become JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("strings and numbers become JSON")
    }
}

impl Object {
    fn of(error: &(dyn StdErrorTrait + 'static), type_name: Option<&str>, depth: usize) -> Self {
        let own = error.downcast_ref::<Error>();
        let causes = (depth > 0).then(|| error.source()).flatten();
        Self {
            code: own.map(|own| own.code.clone()),
            type_name: type_name.map_or_else(|| guessed_type(error), str::to_owned),
            message: error.to_string(),
            stack: None,
            rc: own.map(|own| own.rc),
            cause: causes.map(|cause| Box::new(Self::of(cause, None, depth - 1))),
        }
    }
}

/// The type behind a `dyn Error` is lost; its derived `Debug` begins with the name of a struct or
/// variant.
fn guessed_type(error: &(dyn StdErrorTrait + 'static)) -> String {
    if error.is::<Error>() {
        return last_segment::<Error>().to_owned();
    }
    if error.is::<std::io::Error>() {
        return "io::Error".to_owned();
    }
    let mut word = FirstWord(String::new());
    // Writing stops with an error after the word: the rest may be long.
    let _ = write!(word, "{error:?}");
    if word.0.starts_with(|first: char| first.is_ascii_uppercase()) { word.0 } else { "Error".to_owned() }
}

struct FirstWord(String);

impl Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        self.0.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// `Parse` of `my::error::Parse<'_, T>`.
fn last_segment<T: ?Sized>() -> &'static str {
    let name = type_name::<T>();
    let path = name.split('<').next().unwrap_or(name);
    path.rsplit("::").next().unwrap_or(path).trim_start_matches('&')
}

/// First tier: an error whose type is known.
pub trait StdError<E> {
    /// The failure.
    fn failure(&self, error: E) -> Failure;
}
impl<E: StdErrorTrait + 'static> StdError<E> for &&&Kind<E> {
    fn failure(&self, error: E) -> Failure {
        Failure::of(&error, Some(last_segment::<E>()))
    }
}

/// Second tier: `anyhow::Error`, `Box<dyn Error>` and the like.
pub trait AnyError<E> {
    /// The failure.
    fn failure(&self, error: E) -> Failure;
}
impl<E: AsRef<dyn StdErrorTrait + 'static>> AnyError<E> for &&Kind<E> {
    fn failure(&self, error: E) -> Failure {
        Failure::of(error.as_ref(), None)
    }
}

/// Third tier: `Box<dyn Error + Send + Sync>`.
pub trait AnyErrorSendSync<E> {
    /// The failure.
    fn failure(&self, error: E) -> Failure;
}
impl<E: AsRef<dyn StdErrorTrait + Send + Sync + 'static>> AnyErrorSendSync<E> for &Kind<E> {
    fn failure(&self, error: E) -> Failure {
        Failure::of(error.as_ref(), None)
    }
}

/// Last tier: text, and whatever else can be shown.
pub trait AnyText<E> {
    /// The failure.
    fn failure(&self, error: E) -> Failure
    where
        E: Display;
}
impl<E> AnyText<E> for Kind<E> {
    fn failure(&self, error: E) -> Failure
    where
        E: Display,
    {
        let name = last_segment::<E>();
        Failure::text(error, if matches!(name, "String" | "str") { "Error" } else { name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[derive(Debug)]
    struct Outer<T>(Error, std::marker::PhantomData<T>);
    impl<T> Display for Outer<T> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("outer")
        }
    }
    impl<T: fmt::Debug> StdErrorTrait for Outer<T> {
        fn source(&self) -> Option<&(dyn StdErrorTrait + 'static)> {
            Some(&self.0)
        }
    }

    fn object(failure: &Failure) -> Value {
        serde_json::from_slice(&failure.to_json()).unwrap()
    }

    #[test]
    fn the_whole_chain_is_told_and_codes_stay_where_they_are() {
        let number = "x".parse::<u8>().unwrap_err();
        let error =
            Outer::<u8>(Error::new("not-a-number", "middle").rc(7).because(number), std::marker::PhantomData);
        let told = object(&StdError::failure(&&&&Kind::of(&error), error));
        let innermost = json!({"type": "ParseIntError", "message": "invalid digit found in string"});
        let middle = json!({"code": "not-a-number", "type": "Error", "message": "middle", "rc": 7, "cause": innermost});
        assert_eq!(told, json!({"type": "Outer", "message": "outer", "cause": middle}));
    }

    #[test]
    fn a_source_that_is_its_own_source_ends() {
        #[derive(Debug)]
        struct Ouroboros;
        impl Display for Ouroboros {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("o")
            }
        }
        impl StdErrorTrait for Ouroboros {
            fn source(&self) -> Option<&(dyn StdErrorTrait + 'static)> {
                Some(&Self)
            }
        }
        let text = Failure::of(&Ouroboros, None).to_json();
        assert_eq!(String::from_utf8(text).unwrap().matches("Ouroboros").count(), CHAIN + 1);
    }

    #[test]
    fn a_type_name_loses_its_path_and_its_parameters() {
        assert_eq!(last_segment::<std::io::Error>(), "Error");
        assert_eq!(last_segment::<Outer<Vec<u8>>>(), "Outer");
        assert_eq!(last_segment::<&str>(), "str");
    }

    #[test]
    fn an_rc_of_zero_is_still_a_failure() {
        assert_eq!(Failure::of(&Error::new("c", "m").rc(0), None).rc(), 1);
        assert_eq!(Failure::of(&Error::new("c", "m").rc(9), None).rc(), 9);
    }
}
