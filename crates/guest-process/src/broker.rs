// SPDX-License-Identifier: Apache-2.0
//! The broker of a guest that several hosts share: a process that starts the guest's, lets hosts
//! in, and hands on what the guest prints. The broker ends when the guest has ended and every host
//! has heard of that; the guest ends with its broker.
//!
//! A host starts the broker, which leaves that host at once (`detach`): its listening socket, or a
//! socket to the one host that it is for, is what it has of it. Hosts find the broker by the socket.
//! A host sends `join` with five descriptors, which go on to the guest. That host hears `welcome`,
//! with the parking words and a socket where what the guest prints comes, or `unserved` or
//! `unrunnable`, with why; and later `exit`, in a line of JSON each. The host may say `kill`, and
//! says `leave` if it leaves in order: when the last host has left, the guest is told to end, or is
//! killed if nobody can hear it any more.
//!
//! A host that is stopped, slow or short of descriptors harms itself alone: nothing here waits for
//! a host, and whoever cannot be served is told so.
//!
//! For a reload the broker's socket is one to the host that reloads. When that one says `take`, this
//! broker asks the one that listens at the address for its socket (`yield`), tells the host how that
//! went (`taken`, `untaken`), and others come in here from then on. The broker that has yielded
//! tells all of its hosts (`moved`), which leave it. Hosts that watch the guest's code say `watch`:
//! the one that has been there longest is told that it is the `first`.

mod channel;
mod detach;
mod guest;
mod host;
mod listener;
mod output;
mod printing;
mod sources;
mod state;
mod words;

use std::{
    ffi::OsString,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    time::{Duration, Instant},
};

use polyloop_connection::{
    address::Address,
    packet::{self, Files},
};
use polyloop_ring::region::ParkingWords;
use rustix::event::PollFlags;
use serde_json::{Value, json};

pub use self::detach::detach;
use self::{
    channel::Channel,
    guest::Guest,
    host::{Host, Watch, Wish},
    listener::Listener,
    output::Outputs,
    sources::{Source, Sources},
    state::State,
    words::{CUT, unrunnable},
};

/// How long the streams of a guest that has ended may stay open, because others have inherited
/// them.
const PATIENCE: Duration = Duration::from_millis(200);

/// Serves hosts until the guest has ended.
pub fn run(arguments: &[OsString]) -> io::Result<()> {
    let [drain, address, command @ ..] = arguments else {
        return Err(io::Error::other("it takes milliseconds, a path, a program and its arguments"));
    };
    let drain = drain.to_str().and_then(|text| text.parse().ok());
    let drain = drain.ok_or_else(|| io::Error::other("it takes milliseconds first"))?;
    let socket = detach::socket()?;
    let (_, parking) = ParkingWords::new()?;
    let (mut listener, first) = Listener::new(socket, Address::at(address)?)?;
    match Guest::start(command, parking.as_fd()) {
        Ok((guest, outputs)) => {
            let mut broker = Broker {
                listener,
                guest,
                parking,
                hosts: Vec::new(),
                come: 0,
                had_hosts: false,
                ends_in_order: false,
                outputs: Outputs::new(outputs),
                readers: [None; 2],
                drain: Duration::from_millis(drain),
                state: State::Serving,
            };
            broker.let_in(first);
            broker.run();
        }
        Err(error) => {
            refuse(first.into_iter().chain(listener.accept()), &error);
            listener.close();
        }
    }
    Ok(())
}

/// Tells those who wait that the guest's program cannot be run.
fn refuse(hosts: impl Iterator<Item = UnixStream>, error: &io::Error) {
    for mut host in hosts {
        // The host may have gone.
        let _ = host.write_all(format!("{}\n", unrunnable(error)).as_bytes());
    }
}

struct Broker {
    listener: Listener,
    guest: Guest,
    parking: OwnedFd,
    /// In the order in which they came.
    hosts: Vec<Host>,
    /// How many have come.
    come: u64,
    /// Whether any was ever served.
    had_hosts: bool,
    /// Whether the host that has left last has left in order.
    ends_in_order: bool,
    outputs: Outputs,
    /// The numbers of the hosts that have the beginning of a line that has not ended, of each stream.
    readers: [Option<u64>; 2],
    drain: Duration,
    state: State,
}

impl Broker {
    fn run(mut self) {
        while !(matches!(self.state, State::Told) && self.hosts.is_empty()) {
            for (source, flags) in self.wait() {
                self.serve(source, flags);
            }
            if self.listener.deadline().is_some_and(|at| at <= Instant::now()) {
                self.look_at_listener();
            }
            self.show_parts();
            self.part();
            self.close_if_alone();
            self.elect();
            self.expire();
            self.tell_end();
        }
    }

    /// Waits for something to do.
    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let mut sources = Sources::default();
        sources.hear(Source::Listener, self.listener.file());
        if !self.state.is_over() {
            sources.hear(Source::End, Some(self.guest.end()));
            sources.hear(Source::Packets, self.guest.packets());
        }
        if self.takes_output() {
            for (index, output) in self.outputs.open() {
                sources.hear(Source::Output(index), Some(output));
            }
        }
        sources.hear_hosts(&self.hosts);
        let deadlines =
            [self.state.deadline(), self.listener.deadline(), self.guest.deadline(), self.part_due()];
        sources.wait(deadlines.into_iter().flatten().min())
    }

    fn serve(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Listener => self.look_at_listener(),
            Source::End => self.ended(),
            Source::Packets => self.hear_guest(),
            Source::Output(index) => self.hand_on(index),
            Source::Reader(index) => self.hosts[index].flush_output(),
            Source::Host(index) => {
                if flags.contains(PollFlags::OUT) {
                    self.hosts[index].flush();
                }
                if flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                    self.hear(index);
                }
            }
        }
    }

    fn look_at_listener(&mut self) {
        if self.listener.is_open() {
            self.accept();
        } else {
            self.take_name();
        }
    }

    /// Lets in who waits at the listener.
    fn accept(&mut self) {
        let come = self.listener.accept();
        self.let_in(come);
    }

    fn let_in(&mut self, come: impl IntoIterator<Item = UnixStream>) {
        for stream in come {
            self.come += 1;
            self.hosts.extend(Host::new(self.come, stream));
        }
    }

    fn hear(&mut self, index: usize) {
        for wish in self.hosts[index].hear() {
            self.grant(index, wish);
        }
    }

    fn grant(&mut self, index: usize, wish: Wish) {
        let host = &mut self.hosts[index];
        match wish {
            // This host was sent away, and comes again.
            _ if host.has_left => {}
            Wish::Join(files) => self.join(index, &files),
            Wish::JoinInVain(why) => host.refuse(why),
            Wish::Yield => self.make_way(index),
            Wish::Take => self.take_name(),
            Wish::Watch => host.watch = Watch::Later,
            Wish::Kill if !self.state.is_over() => self.guest.kill(),
            Wish::Kill => {}
            Wish::Part => host.parts = true,
            Wish::Leave => host.has_left = true,
        }
    }

    /// Has the guest serve a host.
    fn join(&mut self, index: usize, files: &Files) {
        let host = &mut self.hosts[index];
        let output = UnixStream::pair().and_then(|(near, far)| Ok((Channel::new(near)?, far)));
        let Ok(output) = output else { return host.refuse(CUT) };
        // A guest that has ended is told of at once.
        let joined = if self.state.is_over() { Ok(()) } else { self.guest.join(host.number, files) };
        match joined {
            Ok(()) => {}
            Err(error) if packet::is_gone(&error) && !self.had_hosts => {
                // The guest has ended before it served anybody, and this process is about to hear
                // of that. A guest that lives is of no use.
                self.guest.kill();
            }
            // The host comes again.
            Err(error) if packet::is_gone(&error) => {
                host.has_left = true;
                return;
            }
            Err(error) if packet::is_not_yet(&error) => {
                return host.refuse("too many hosts wait for the guest, which takes none: is it stopped?");
            }
            Err(error) => return host.refuse(&format!("the guest cannot be told of this host: {error}")),
        }
        host.welcome(self.guest.pid(), self.parking.as_fd(), output);
        self.had_hosts = true;
    }

    /// The guest's process says which host it cannot serve.
    fn hear_guest(&mut self) {
        // One that is to end has its time for that.
        let Some(refusal) = self.guest.hear(matches!(self.state, State::Serving)) else { return };
        if let Some(host) = self.hosts.iter_mut().find(|host| host.number == refusal.number) {
            host.refuse(&refusal.why);
        }
    }

    /// Forgets the hosts that have left.
    fn part(&mut self) {
        if let Some(last) = self.hosts.iter().rfind(|host| host.has_left && host.is_in) {
            self.ends_in_order = last.parts;
        }
        self.hosts.retain(|host| !host.has_left);
    }

    /// Goes on taking the name, and tells the host that reloads how that went.
    fn take_name(&mut self) {
        match self.listener.take() {
            Ok(false) => {}
            Ok(true) => self.tell(&json!({ "event": "taken" })),
            Err(error) => self.tell(&json!({ "event": "untaken", "message": error.to_string() })),
        }
    }

    /// Gives the name to another broker, which asks for it over this connection, and has all hosts
    /// follow.
    fn make_way(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        host.has_left = true;
        if !self.listener.hand_over(host.as_fd()) {
            return;
        }
        // Who is not served yet comes again, and to the other one.
        self.send_away();
        self.tell(&json!({ "event": "moved" }));
    }

    fn send_away(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.has_left |= !host.is_in);
    }

    /// Tells the host that has been there longest of those that watch the guest's code that it is
    /// the one to act on changes. One that has heard of a newer guest does not: whoever is first
    /// there does.
    fn elect(&mut self) {
        let first = self.hosts.iter_mut().find(|host| host.watch != Watch::No);
        if let Some(host) = first.filter(|host| host.watch == Watch::Later) {
            host.watch = Watch::First;
            host.tell(&json!({ "event": "first", "since": self.guest.since() }));
        }
    }

    fn tell(&mut self, line: &Value) {
        for host in self.hosts.iter_mut().filter(|host| host.is_in) {
            host.tell(line);
        }
    }

    /// The guest's process has ended.
    fn ended(&mut self) {
        let status = self.guest.reap();
        // DEATH 1 end
        self.state = State::Draining(status, Some(Instant::now() + PATIENCE));
        if !self.had_hosts {
            // The guest did not even start: those who wait hear of that, instead of having another
            // guest started.
            self.accept();
            for index in 0..self.hosts.len() {
                self.hear(index);
            }
        }
        // Before any host hears of the end: who comes from now on has another one started.
        self.listener.close();
        self.send_away();
    }

    /// Nobody is let in any more once the last host has left, and the guest has to end.
    fn close_if_alone(&mut self) {
        if self.hosts.is_empty() {
            self.accept();
        }
        if !self.hosts.is_empty() || !matches!(self.state, State::Serving) {
            return;
        }
        self.listener.close();
        // What the guest does for a host that was killed nobody can want any more.
        let may_end = self.ends_in_order && self.guest.finish().is_ok();
        if may_end {
            self.state = State::Ending(Some(Instant::now() + self.drain));
        } else {
            self.state = State::Ending(None);
            self.guest.kill();
        }
    }

    /// Ends what has had its time.
    fn expire(&mut self) {
        self.guest.expire();
        if self.state.deadline().is_none_or(|at| at > Instant::now()) {
            return;
        }
        match &mut self.state {
            State::Ending(until) => {
                *until = None;
                self.guest.kill();
            }
            State::Draining(_, until) => {
                *until = None;
                self.outputs.close();
            }
            State::Serving | State::Told => {}
        }
    }

    /// Tells every host how the guest has ended, once all that it printed was read.
    fn tell_end(&mut self) {
        let State::Draining(status, _) = self.state else { return };
        if !self.outputs.are_over() {
            return;
        }
        self.state = State::Told;
        let line = json!({
            "event": "exit", "code": status.code(), "signal": status.signal(), "lines": self.outputs.last(),
            "hungUp": self.guest.has_hung_up(),
        });
        self.hosts.iter_mut().for_each(Host::end_output);
        self.tell(&line);
    }
}
