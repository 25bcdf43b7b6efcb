// SPDX-License-Identifier: Apache-2.0
//! A host, as its broker sees it.

use std::{
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    os::unix::net::UnixStream,
};

use polyloop_connection::packet::{self, Files, Received};
use serde_json::{Value, json};

use super::{
    channel::Channel,
    words::{CUT, YIELD, unserved},
};

/// Bytes that wait for a host to read them before another gets what is printed.
const BACKLOG: usize = 1 << 16;
/// Bytes of what a host may say in one line.
const LONGEST: usize = 64;

/// What a host wants.
pub enum Wish {
    /// To be served: its descriptors.
    Join(Files),
    /// To be served, but not all of its descriptors have come: why.
    JoinInVain(&'static str),
    /// The name: this is no host, but the broker of a newer guest.
    Yield,
    /// That others find this guest by the name from now on.
    Take,
    /// To act on changes of the guest's code, as the first host that wants that.
    Watch,
    /// The guest's end.
    Kill,
    /// To leave soon, and nothing more of the guest but that it ends in order.
    Part,
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
    /// By which the guest's process knows it.
    pub number: u64,
    control: Channel,
    /// What the guest prints goes here, so that nothing else waits for who does not read that.
    output: Option<Channel>,
    /// Whether the guest has its descriptors.
    pub is_in: bool,
    pub watch: Watch,
    /// Whether the host has said that it leaves.
    pub parts: bool,
    /// Whether the host has left.
    pub has_left: bool,
    said: Vec<u8>,
}

impl Host {
    /// A host that has come; nothing if it is another user's.
    pub fn new(number: u64, stream: UnixStream) -> Option<Self> {
        if !packet::is_ours(&stream).ok()? {
            return None;
        }
        Some(Self {
            number,
            control: Channel::new(stream).ok()?,
            output: None,
            is_in: false,
            watch: Watch::No,
            parts: false,
            has_left: false,
            said: Vec::new(),
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
        let Received { bytes, files, is_cut } = packet::receive(&self.control, &mut text)?;
        Ok(vec![match (&text[..bytes], Files::try_from(files)) {
            (b"join\n", _) if is_cut => Wish::JoinInVain(CUT),
            (b"join\n", Ok(files)) => Wish::Join(files),
            (b"join\n", Err(_)) => Wish::JoinInVain("it sends other descriptors than a host has"),
            (YIELD, _) => Wish::Yield,
            _ => Wish::Leave,
        }])
    }

    fn listen(&mut self) -> io::Result<Vec<Wish>> {
        let mut text = [0; LONGEST];
        let read = self.control.stream.read(&mut text)?;
        self.said.extend_from_slice(&text[..read]);
        if read == 0 || self.said.len() > 2 * LONGEST {
            return Ok(vec![Wish::Leave]);
        }
        let Some(end) = self.said.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let lines: Vec<u8> = self.said.drain(..=end).collect();
        Ok(lines.split(|byte| *byte == b'\n').filter_map(wish).collect())
    }

    /// Serves the host from now on: tells it the guest's process, and gives it the parking words
    /// and where it hears what the guest prints.
    pub fn welcome(&mut self, pid: u32, parking: BorrowedFd<'_>, output: (Channel, UnixStream)) {
        let (near, far) = output;
        let line = format!("{}\n", json!({ "event": "welcome", "pid": pid }));
        let sent = packet::send(&self.control, line.as_bytes(), &[parking, far.as_fd()]);
        self.is_in = sent.is_ok_and(|sent| sent == line.len());
        self.has_left = !self.is_in;
        self.output = Some(near);
    }

    /// Says a line.
    pub fn tell(&mut self, line: &Value) {
        self.control.tell(&line.to_string());
        self.has_left |= self.control.is_broken;
    }

    /// Sends the host away, and says why.
    pub fn refuse(&mut self, why: &str) {
        self.tell(&unserved(why));
        self.has_left = true;
    }

    /// Hands on what the guest has printed.
    pub fn print(&mut self, stream: &str, text: &str) {
        if let Some(output) = &mut self.output {
            output.tell(&json!({ "stream": stream, "text": text }).to_string());
        }
        self.close_output();
    }

    /// The guest prints nothing more.
    pub fn end_output(&mut self) {
        self.output.iter_mut().for_each(|output| output.is_last = true);
        self.close_output();
    }

    /// Sends what waits, as far as the host reads.
    pub fn flush(&mut self) {
        self.control.flush();
        self.has_left |= self.control.is_broken;
    }

    /// Sends what waits of what the guest prints.
    pub fn flush_output(&mut self) {
        self.output.iter_mut().for_each(Channel::flush);
        self.close_output();
    }

    fn close_output(&mut self) {
        self.output = self.output.take().filter(|output| !output.is_over());
    }

    /// Whether something waits to be sent.
    pub fn is_behind(&self) -> bool {
        self.control.unsent() > 0
    }

    /// Where the host is to be sent more of what the guest prints as soon as it reads.
    pub fn output_behind(&self) -> Option<BorrowedFd<'_>> {
        self.output.as_ref().filter(|output| output.unsent() > 0).map(AsFd::as_fd)
    }

    /// Whether the host may get what the guest prints.
    pub fn has_room(&self) -> bool {
        self.is_in && self.output.as_ref().is_some_and(|output| output.unsent() < BACKLOG)
    }
}

fn wish(line: &[u8]) -> Option<Wish> {
    match line {
        b"take" => Some(Wish::Take),
        b"watch" => Some(Wish::Watch),
        b"kill" => Some(Wish::Kill),
        b"leave" => Some(Wish::Part),
        _ => None,
    }
}

impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}
