// SPDX-License-Identifier: Apache-2.0
//! How a broker hands on what its guest prints: to one host, the first that has room for it.

use std::time::Instant;

use super::{Broker, host::Host};

impl Broker {
    /// Whether somebody takes what the guest prints. What is printed once all have left is thrown
    /// away, and what was printed last tells of the guest's end.
    pub fn takes_output(&self) -> bool {
        self.state.is_over()
            || self.hosts.iter().any(Host::has_room)
            || (self.listener.is_closed() && self.hosts.is_empty())
    }

    /// Hands what the guest has printed to one host, the first that has room for it.
    pub fn hand_on(&mut self, index: usize) {
        let (name, lines) = self.outputs.read(index);
        self.print(index, name, &lines);
    }

    /// When a part of a line is to be seen, if a host has room for it.
    pub fn part_due(&self) -> Option<Instant> {
        self.outputs.due().filter(|_| self.hosts.iter().any(Host::has_room))
    }

    /// Shows the parts of lines that are to be seen.
    pub fn show_parts(&mut self) {
        if !self.hosts.iter().any(Host::has_room) {
            return;
        }
        for (index, name, part) in self.outputs.parts() {
            self.print(index, name, &[part]);
        }
    }

    /// Prints at one host: the one that has the beginning of the line, unless that has left or is behind.
    fn print(&mut self, index: usize, name: &str, texts: &[String]) {
        let Some(last) = texts.last() else { return };
        let reader = self.readers[index];
        let place = self.hosts.iter().position(|host| Some(host.number) == reader && host.has_room());
        let Some(place) = place.or_else(|| self.hosts.iter().position(Host::has_room)) else { return };
        let host = &mut self.hosts[place];
        for text in texts {
            host.print(name, text);
        }
        self.readers[index] = (!last.ends_with('\n')).then_some(host.number);
    }
}
