// SPDX-License-Identifier: Apache-2.0
//! How much address space is set aside: much, for it costs nothing, and less where a limit is set.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

use crate::memory::{
    chunks::{CHUNK_BYTES, WORD_CHUNKS},
    region::{Access, Mapping, file},
};

/// Bytes that are set aside where nothing limits them.
pub(crate) const MOST_BYTES: usize = 64 << 30;
/// Less than this is of no use.
const LEAST_BYTES: usize = 16 << 20;
/// Of what is left one part in so many is set aside: others want theirs, and the rest is the
/// program's.
const PARTS: usize = 8;
/// Whole words of a table of chunks.
const GRAIN: usize = CHUNK_BYTES * WORD_CHUNKS;

/// A file in memory, and its mapping: as long as what is left of the address space allows. Who maps
/// the file elsewhere sees its length.
///
/// # Errors
/// If not even the least can be had.
pub(crate) fn set_aside(name: &CStr) -> io::Result<(Mapping, OwnedFd)> {
    let mut bytes = wanted(left());
    loop {
        match try_to(name, bytes) {
            Err(error) if is_too_much(&error) && bytes > LEAST_BYTES => bytes = wanted(bytes / 2 * PARTS),
            Err(error) if is_too_much(&error) => return Err(used_up(bytes, &error)),
            made => return made,
        }
    }
}

fn try_to(name: &CStr, bytes: usize) -> io::Result<(Mapping, OwnedFd)> {
    let file = file(name, bytes)?;
    Ok((Mapping::of(file.as_fd(), Access::Write)?, file))
}

fn is_too_much(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EFBIG))
}

fn used_up(bytes: usize, error: &io::Error) -> io::Error {
    // The number of the error tells the host what to advise.
    io::Error::new(error.kind(), format!("{} MiB of address space are wanted: {error}", bytes >> 20))
}

/// How much of what is left is set aside.
fn wanted(left: usize) -> usize {
    (left / PARTS).clamp(LEAST_BYTES, MOST_BYTES) / GRAIN * GRAIN
}

/// Bytes of address space that this process may still map, and of a file that it may make.
fn left() -> usize {
    let [space, file] = [libc::RLIMIT_AS, libc::RLIMIT_FSIZE].map(|what| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: a place to write to.
        let known = unsafe { libc::getrlimit(what, &raw mut limit) } == 0;
        if known { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { usize::MAX }
    });
    space.min(top()).saturating_sub(mapped()).min(file.saturating_mul(PARTS))
}

/// Where addresses end: stacks lie near the top, and how high that is depends on the processor.
fn top() -> usize {
    let here = 0u8;
    (&raw const here as usize).checked_next_power_of_two().unwrap_or(usize::MAX)
}

/// Bytes that this process has mapped.
fn mapped() -> usize {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_what_is_left_is_set_aside_and_no_more_than_is_of_use() {
        assert_eq!(wanted(usize::MAX), MOST_BYTES);
        assert_eq!(wanted(8 << 30), 1 << 30);
        assert_eq!(wanted((8 << 30) - 1), (1 << 30) - GRAIN);
        assert_eq!(wanted(0), LEAST_BYTES);
    }

    #[test]
    fn what_is_left_is_less_than_the_address_space_and_more_than_nothing() {
        assert!(mapped() > 0 && left() > MOST_BYTES && left() < top());
    }
}
