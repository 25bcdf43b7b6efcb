// SPDX-License-Identifier: Apache-2.0
//! One way to a host: a socket whose other end may not read.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

/// A socket that does not block, and what waits to be sent there.
pub struct Channel {
    pub stream: UnixStream,
    unsent: VecDeque<u8>,
    /// Whether the other end has gone.
    pub is_broken: bool,
    /// Whether nothing more will be said.
    pub is_last: bool,
}

impl Channel {
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, unsent: VecDeque::new(), is_broken: false, is_last: false })
    }

    /// Says a line; what is not read yet waits.
    pub fn tell(&mut self, line: &str) {
        self.unsent.extend(line.as_bytes());
        self.unsent.push_back(b'\n');
        self.flush();
    }

    /// Sends what waits, as far as the other end reads.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(self.unsent.as_slices().0) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.is_broken = true;
                    self.unsent.clear();
                }
            }
        }
    }

    /// Whether nothing more can come of it.
    pub fn is_over(&self) -> bool {
        self.is_broken || (self.is_last && self.unsent.is_empty())
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
