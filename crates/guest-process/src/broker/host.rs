// SPDX-License-Identifier: Apache-2.0
//! A host, as its broker sees it.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::net::UnixStream,
};

use polyloop_connection::packet;
use serde_json::{Value, json};

use super::listener::YIELD;

/// Bytes that wait for a host to read them before another gets what is printed.
const BACKLOG: usize = 1 << 16;
/// Bytes of what a host may say in one line.
const LONGEST: usize = 64;

/// What a host wants.
pub enum Wish {
    /// To be served: its descriptors.
    Join(Vec<OwnedFd>),
    /// The name: this is no host, but the broker of a newer guest.
    Yield,
    /// That others find this guest by the name from now on.
    Take,
    /// To act on changes of the guest's code, as the first host that wants that.
    Watch,
    /// The guest's end.
    Kill,
    /// To leave, or the host has gone.
    Leave,
}

/// Whether a host watches the guest's code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    No,
    /// This host watches, and another one acts on changes.
    Later,
    /// This host was told that it is the one to act.
    First,
}

/// A connection to a host.
pub struct Host {
    stream: UnixStream,
    /// Whether the guest has its descriptors.
    pub is_in: bool,
    pub watch: Watch,
    /// Whether the host has left.
    pub has_left: bool,
    said: Vec<u8>,
    unsent: VecDeque<u8>,
}

impl Host {
    /// A host that has come; nothing if it is another user's.
    pub fn new(stream: UnixStream) -> Option<Self> {
        let is_ours = packet::is_ours(&stream).ok()?;
        (is_ours && stream.set_nonblocking(true).is_ok()).then(|| Self {
            stream,
            is_in: false,
            watch: Watch::No,
            has_left: false,
            said: Vec::new(),
            unsent: VecDeque::new(),
        })
    }

    /// What the host wants, if it says something.
    pub fn hear(&mut self) -> Vec<Wish> {
        let heard = if self.is_in { self.listen() } else { self.receive() };
        match heard {
            Ok(wishes) => wishes,
            Err(error) if packet::is_not_yet(&error) => Vec::new(),
            Err(_) => vec![Wish::Leave],
        }
    }

    /// Its first message, which may come with descriptors.
    fn receive(&self) -> io::Result<Vec<Wish>> {
        let mut text = [0; LONGEST];
        let (read, files) = packet::receive(&self.stream, &mut text)?;
        Ok(vec![match &text[..read] {
            b"join\n" => Wish::Join(files),
            YIELD => Wish::Yield,
            _ => Wish::Leave,
        }])
    }

    fn listen(&mut self) -> io::Result<Vec<Wish>> {
        let mut text = [0; LONGEST];
        let read = self.stream.read(&mut text)?;
        self.said.extend_from_slice(&text[..read]);
        if read == 0 || self.said.len() > 2 * LONGEST {
            return Ok(vec![Wish::Leave]);
        }
        let Some(end) = self.said.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let lines: Vec<u8> = self.said.drain(..=end).collect();
        Ok(lines.split(|byte| *byte == b'\n').filter_map(wish).collect())
    }

    /// Serves the host from now on: tells it the guest's process, and gives it the parking words.
    pub fn welcome(&mut self, pid: u32, parking: BorrowedFd<'_>) {
        let line = format!("{}\n", json!({ "event": "welcome", "pid": pid }));
        let sent = packet::send(&self.stream, line.as_bytes(), &[parking]);
        self.is_in = sent.is_ok_and(|sent| sent == line.len());
        self.has_left = !self.is_in;
    }

    /// Says a line; what the host does not read yet waits.
    pub fn tell(&mut self, line: &Value) {
        self.unsent.extend(format!("{line}\n").as_bytes());
        self.flush();
    }

    /// Sends what waits, as far as the host reads.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(self.unsent.as_slices().0) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.has_left = true;
                    return;
                }
            }
        }
    }

    /// Whether something waits to be sent.
    pub fn is_behind(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether the host may get what the guest prints.
    pub fn has_room(&self) -> bool {
        self.is_in && self.unsent.len() < BACKLOG
    }
}

fn wish(line: &[u8]) -> Option<Wish> {
    match line {
        b"take" => Some(Wish::Take),
        b"watch" => Some(Wish::Watch),
        b"kill" => Some(Wish::Kill),
        _ => None,
    }
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
