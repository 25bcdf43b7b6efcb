// SPDX-License-Identifier: Apache-2.0
//! Whole lines to the host's streams.

use std::fmt::Arguments;

use crate::runtime::Lease;

/// One of the host's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// 1
    Stdout = 1,
    /// 2
    Stderr = 2,
}

/// Hands a line to the host, or to the process if no runtime is loaded.
pub fn write(stream: Stream, line: Arguments<'_>) {
    let mut text = line.to_string();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    match (Lease::current(), stream) {
        (Some(lease), stream) => lease.runtime().log(stream as u32, &text),
        (None, Stream::Stdout) => print!("{text}"),
        (None, Stream::Stderr) => eprint!("{text}"),
    }
}

/// Writes a line to the host's `log`, as stdout: `std::println!` bypasses the host, and lines may
/// mix.
///
/// ```
/// polyloop::println!("{} users", 3);
/// ```
#[macro_export]
macro_rules! println {
    ($($arguments:tt)*) => {
        $crate::__private::write($crate::__private::Stream::Stdout, ::core::format_args!($($arguments)*))
    };
}

/// Writes a line to the host's `log`, as stderr.
#[macro_export]
macro_rules! eprintln {
    ($($arguments:tt)*) => {
        $crate::__private::write($crate::__private::Stream::Stderr, ::core::format_args!($($arguments)*))
    };
}
