// SPDX-License-Identifier: Apache-2.0
//! What a broker waits for.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::host::Host;

/// Whatever can be ready.
#[derive(Clone, Copy)]
pub enum Source {
    Listener,
    /// The guest's process has ended.
    End,
    /// The guest's process says something.
    Packets,
    Output(usize),
    Host(usize),
    /// A host reads what the guest prints.
    Reader(usize),
}

/// What is waited for this time.
#[derive(Default)]
pub struct Sources<'a> {
    sources: Vec<Source>,
    files: Vec<PollFd<'a>>,
}

impl<'a> Sources<'a> {
    /// Waits until this is readable, if it is there.
    pub fn hear(&mut self, source: Source, file: Option<BorrowedFd<'a>>) {
        if let Some(file) = file {
            self.watch(source, file, PollFlags::IN);
        }
    }

    /// Waits until hosts say something, or read what waits for them.
    pub fn hear_hosts(&mut self, hosts: &'a [Host]) {
        for (index, host) in hosts.iter().enumerate() {
            let out = if host.is_behind() { PollFlags::OUT } else { PollFlags::empty() };
            self.watch(Source::Host(index), host.as_fd(), PollFlags::IN | out);
            if let Some(reader) = host.output_behind() {
                self.watch(Source::Reader(index), reader, PollFlags::OUT);
            }
        }
    }

    fn watch(&mut self, source: Source, file: BorrowedFd<'a>, flags: PollFlags) {
        self.sources.push(source);
        self.files.push(PollFd::from_borrowed_fd(file, flags));
    }

    /// Waits until this time at most; what is ready.
    pub fn wait(mut self, until: Option<Instant>) -> Vec<(Source, PollFlags)> {
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut self.files, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let flags = self.files.iter().map(PollFd::revents);
        self.sources.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect()
    }
}
