// SPDX-License-Identifier: Apache-2.0
//! Why a value does not fit, and where in it that is.

use std::fmt::{self, Display};

/// One step from a value to one in it.
#[derive(Debug)]
enum Step {
    Key(String),
    Item(usize),
}

#[derive(Debug)]
struct Told {
    what: String,
    /// The innermost first: it grows on the way out.
    path: Vec<Step>,
}

/// Why a value does not fit.
#[derive(Debug)]
pub struct Misfit(Box<Told>);

impl Misfit {
    /// What is wrong, of the value itself.
    #[cold]
    pub fn new(what: impl Into<String>) -> Self {
        Self(Box::new(Told { what: what.into(), path: Vec::new() }))
    }

    /// The same, of what holds the value as its item number `index`.
    #[must_use]
    pub fn in_item(mut self, index: usize) -> Self {
        self.0.path.push(Step::Item(index));
        self
    }

    /// The same, of what holds the value by the name `key`.
    #[must_use]
    pub fn in_key(mut self, key: String) -> Self {
        self.0.path.push(Step::Key(key));
        self
    }

    /// Without the outermost step.
    #[must_use]
    pub fn inside(mut self) -> Self {
        self.0.path.pop();
        self
    }

    /// What is wrong.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Where, as one would write it: `.lines[0].count`.
    pub fn path(&self) -> String {
        self.0.path.iter().rev().map(ToString::to_string).collect()
    }
}

impl Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(index) => write!(formatter, "[{index}]"),
            Self::Key(key) if is_name(key) => write!(formatter, ".{key}"),
            Self::Key(key) => write!(formatter, "[{:?}]", key.chars().take(50).collect::<String>()),
        }
    }
}

fn is_name(key: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    !key.is_empty() && key.len() <= 50 && key.chars().all(is_part) && !key.starts_with(char::is_numeric)
}

impl Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        let colon = if path.is_empty() { "" } else { ": " };
        write!(formatter, "{path}{colon}{}", self.what())
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    fn custom<T: Display>(what: T) -> Self {
        let what = what.to_string();
        // Another misfit that went through serde, as that of a number of an array does.
        match item_of(&what) {
            Some((index, what)) => Self::new(what).in_item(index),
            None => Self::new(what),
        }
    }
}

/// The index and the rest of `[1]: it does not fit`.
fn item_of(what: &str) -> Option<(usize, &str)> {
    let (index, rest) = what.strip_prefix('[')?.split_once("]: ")?;
    Some((index.parse().ok()?, rest))
}
