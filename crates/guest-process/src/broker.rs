// SPDX-License-Identifier: Apache-2.0
//! The broker of a guest that several hosts share: a process that starts the guest's, lets hosts
//! in, and hands on what the guest prints. The broker ends when the guest has ended and every host
//! has heard of that; the guest ends with its broker.
//!
//! Hosts find the broker by the listening socket that the first of them has made, its descriptor 3.
//! A host sends `join` with five descriptors, which go on to the guest. That host hears `welcome`,
//! with the parking words, `output` and `exit`, in a line of JSON each, and may say `kill`. When
//! the last host has left, the guest is told to end.
//!
//! For a reload the broker's descriptor 3 is a socket to the one host that reloads. When that one
//! says `take`, this broker asks the one that listens at the name for its socket (`yield`), tells
//! the host how that went (`taken`, `untaken`), and others come in here from then on. The broker
//! that has yielded tells all of its hosts (`moved`), which leave it. Hosts that watch the guest's
//! code say `watch`: the one that has been there longest is told that it is the `first`.

mod guest;
mod host;
mod listener;
mod output;

use std::{
    ffi::OsString,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::ExitStatus,
    time::{Duration, Instant},
};

use polyloop_ring::region::ParkingWords;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use self::{
    guest::Guest,
    host::{Host, Watch, Wish},
    listener::Listener,
    output::{Last, Output},
};
use crate::descriptors::{FIRST, PARKING, take};

/// How long the streams of a guest that has ended may stay open, because others have inherited
/// them.
const PATIENCE: Duration = Duration::from_millis(200);

/// Serves hosts until the guest has ended.
pub fn run(arguments: &[OsString]) -> io::Result<()> {
    let [drain, name, command @ ..] = arguments else {
        return Err(io::Error::other("it takes milliseconds, a name, a program and its arguments"));
    };
    let drain = drain.to_str().and_then(|text| text.parse().ok());
    let drain = drain.ok_or_else(|| io::Error::other("it takes milliseconds first"))?;
    // SAFETY: this process was started with this descriptor for this.
    let (listener, first) = Listener::new(unsafe { take(FIRST)? }, name)?;
    let parking = parking()?;
    match Guest::start(command, parking.as_fd()) {
        Ok((guest, outputs)) => {
            Broker {
                listener,
                guest,
                parking,
                hosts: first.and_then(Host::new).into_iter().collect(),
                had_hosts: false,
                outputs: outputs.map(Some),
                last: Last::default(),
                drain: Duration::from_millis(drain),
                state: State::Serving,
            }
            .run();
        }
        Err(error) => refuse(first.into_iter().chain(listener.accept()), &error),
    }
    Ok(())
}

/// New parking words, at the number where the guest's process looks for them.
fn parking() -> io::Result<OwnedFd> {
    let (_, file) = ParkingWords::new()?;
    if file.as_raw_fd() == PARKING {
        return Ok(file);
    }
    // SAFETY: a system call; what this process has inherited at that number is nobody's.
    if unsafe { libc::dup3(file.as_raw_fd(), PARKING, libc::O_CLOEXEC) } != PARKING {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and is ours.
    unsafe { take(PARKING) }
}

/// Tells those who wait that the guest's program cannot be run.
fn refuse(hosts: impl Iterator<Item = UnixStream>, error: &io::Error) {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let line = json!({ "event": "unrunnable", "missing": missing, "message": error.to_string() });
    for mut host in hosts {
        // The host may have gone.
        let _ = host.write_all(format!("{line}\n").as_bytes());
    }
}

/// Whatever can be ready.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Guest,
    Output(usize),
    Host(usize),
}

struct Broker {
    listener: Listener,
    guest: Guest,
    parking: OwnedFd,
    /// In the order in which they came.
    hosts: Vec<Host>,
    /// Whether any was ever served.
    had_hosts: bool,
    /// Until they have ended.
    outputs: [Option<Output>; 2],
    last: Last,
    drain: Duration,
    state: State,
}

/// What has become of the guest: serving, ending, draining, told; or serving, draining, told, if it
/// ends by itself.
#[derive(Clone, Copy)]
enum State {
    /// The guest serves hosts, or waits for the first.
    Serving,
    /// The last host has left, and the guest was told to end. The guest is killed at this time; `None`
    /// once that was done.
    Ending(Option<Instant>),
    /// The guest has ended. What it printed is read until this time; `None` once that is over.
    Draining(ExitStatus, Option<Instant>),
    /// The hosts know how the guest has ended.
    Told,
}

impl State {
    /// Whether the guest's process has ended.
    fn is_over(self) -> bool {
        matches!(self, Self::Draining(..) | Self::Told)
    }

    /// When the guest has had its time to end, or its streams.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Ending(until) | Self::Draining(_, until) => until,
            Self::Serving | Self::Told => None,
        }
    }
}

impl Broker {
    fn run(mut self) {
        while !(matches!(self.state, State::Told) && self.hosts.is_empty()) {
            for (source, flags) in self.wait() {
                self.serve(source, flags);
            }
            if self.listener.deadline().is_some_and(|at| at <= Instant::now()) {
                self.take_name();
            }
            self.hosts.retain(|host| !host.has_left);
            self.close_if_alone();
            self.elect();
            self.expire();
            self.tell_end();
        }
    }

    /// Waits for something to do.
    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let (mut sources, mut files) = (Vec::new(), Vec::new());
        let mut watch = |source, file, flags| {
            sources.push(source);
            files.push(PollFd::from_borrowed_fd(file, flags));
        };
        if let Some(listener) = self.listener.file() {
            watch(Source::Listener, listener, PollFlags::IN);
        }
        if !self.state.is_over() {
            watch(Source::Guest, self.guest.end(), PollFlags::IN);
        }
        if self.takes_output() {
            for (index, output) in self.outputs.iter().enumerate() {
                if let Some(output) = output {
                    watch(Source::Output(index), output.as_fd(), PollFlags::IN);
                }
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let out = if host.is_behind() { PollFlags::OUT } else { PollFlags::empty() };
            watch(Source::Host(index), host.as_fd(), PollFlags::IN | out);
        }
        let next = self.state.deadline().into_iter().chain(self.listener.deadline()).min();
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut files, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        let flags = files.iter().map(PollFd::revents);
        sources.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect()
    }

    fn serve(&mut self, source: Source, flags: PollFlags) {
        match source {
            Source::Listener if self.listener.is_open() => self.accept(),
            Source::Listener => self.take_name(),
            Source::Guest => self.ended(),
            Source::Output(index) => self.hand_on(index),
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

    /// Lets in who waits at the listener.
    fn accept(&mut self) {
        self.hosts.extend(self.listener.accept().into_iter().filter_map(Host::new));
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
            Wish::Join(files) => {
                // A guest that has ended is told of at once.
                let is_served = self.state.is_over() || self.guest.join(&files).is_ok();
                if !is_served && !self.had_hosts {
                    // The guest has ended before it served anybody, and this process is about to
                    // hear of that. A guest that lives is of no use.
                    self.guest.kill();
                }
                if is_served || !self.had_hosts {
                    host.welcome(self.guest.pid(), self.parking.as_fd());
                    self.had_hosts = true;
                } else {
                    // The host comes again.
                    host.has_left = true;
                }
            }
            Wish::Yield => self.make_way(index),
            Wish::Take => self.take_name(),
            Wish::Watch => host.watch = Watch::Later,
            Wish::Kill if !self.state.is_over() => self.guest.kill(),
            Wish::Kill => {}
            Wish::Leave => host.has_left = true,
        }
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

    /// Whether somebody takes what the guest prints. What is printed once all have left is thrown
    /// away.
    fn takes_output(&self) -> bool {
        self.hosts.iter().any(Host::has_room) || (self.listener.is_closed() && self.hosts.is_empty())
    }

    /// Hands what the guest has printed to one host, the first that has room for it.
    fn hand_on(&mut self, index: usize) {
        let Some(output) = &mut self.outputs[index] else { return };
        let name = output.name;
        let lines = output.read();
        let is_over = lines.is_none();
        let lines = lines.unwrap_or_else(|| output.rest().into_iter().collect());
        if is_over {
            self.outputs[index] = None;
        }
        let mut host = self.hosts.iter_mut().find(|host| host.has_room());
        for line in lines {
            self.last.keep(&line);
            if let Some(host) = &mut host {
                host.tell(&json!({ "event": "output", "stream": name, "text": line }));
            }
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
        self.state = State::Ending(Some(Instant::now() + self.drain));
        if self.guest.finish().is_err() {
            self.guest.kill();
        }
    }

    /// Ends what has had its time.
    fn expire(&mut self) {
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
                self.outputs = [None, None];
            }
            State::Serving | State::Told => {}
        }
    }

    /// Tells every host how the guest has ended, once all that it printed was read.
    fn tell_end(&mut self) {
        let State::Draining(status, _) = self.state else { return };
        if self.outputs.iter().any(Option::is_some) {
            return;
        }
        self.state = State::Told;
        let lines = self.last.lines();
        let line =
            json!({ "event": "exit", "code": status.code(), "signal": status.signal(), "lines": lines });
        self.tell(&line);
    }
}
