// SPDX-License-Identifier: Apache-2.0
//! How a host comes to a guest that it shares with others: on a thread of its own, for the broker
//! may have to be started first. `crates/guest-process/src/broker.rs` is the other side.
//!
//! The broker listens at an address. If nobody does, the host makes the listening socket, and
//! starts the broker with it. For a reload the host starts a broker that nobody finds there, until
//! that broker takes the address.
//!
//! Whoever has the address may not answer, or let nobody in: each wait ends with the host's
//! patience, and when the host gives up.

use std::{
    collections::HashMap,
    io::{self, Read},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use polyloop_ring::region::ParkingWords;
use serde::Deserialize;
use serde_json::json;

use crate::{
    address::{Address, Found},
    packet::{self, Received},
};

/// What a host shares with the guest, to be sent: block, requests, responses, bell.
pub type Files = [OwnedFd; 4];

/// How long a host looks for a guest, and how long a broker may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// The first pause before the next look, which doubles up to the longest one.
const PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Brokers that one host starts, each because the last one ended before it answered.
const MOST: u32 = 3;
/// Bytes of a broker's first line.
const LONGEST: usize = 1 << 14;

/// The guest that is wanted, and how to have it started.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The name by which its hosts find it.
    pub name: String,
    /// Whether a new one is wanted, which has the name only when its broker takes it.
    pub is_fresh: bool,
    /// The program of brokers.
    pub broker: PathBuf,
    /// Milliseconds that the guest has to end.
    pub drain_timeout: u64,
    /// The program that serves the guest, and its arguments.
    pub command: Vec<String>,
    /// The environment of both.
    pub environment: HashMap<String, String>,
}

/// What becomes of a join.
pub enum News {
    /// The host has a place.
    Joined(Place),
    /// The host gets no place; why, as JSON.
    Refused(String),
}

/// A host's place in a shared guest.
pub struct Place {
    /// To the broker.
    pub broker: OwnedFd,
    /// What the guest prints comes here.
    pub output: OwnedFd,
    /// To the guest.
    pub lifeline: OwnedFd,
    /// The guest's process.
    pub pid: u32,
    /// By which the guest's threads wait.
    pub parking: Arc<ParkingWords>,
}

/// A join that is under way, and is given up when this is dropped.
pub struct Joining(Arc<Progress>);

#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_over: bool,
    /// What the thread waits at.
    line: Option<UnixStream>,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_over = true;
        if let Some(line) = state.line.take() {
            // Whoever waits there wakes. If the other side has closed the socket already, nobody
            // waits.
            let _ = line.shutdown(Shutdown::Both);
        }
        self.0.changed.notify_all();
    }
}

/// Joins the guest that is wanted; `tell` hears once what becomes of that, on another thread.
///
/// # Errors
/// If there is no safe place for the address, or no thread.
pub fn begin(wanted: Wanted, files: Files, tell: impl FnOnce(News) + Send + 'static) -> io::Result<Joining> {
    let progress = Arc::new(Progress::default());
    let address = Address::of(&wanted.name)?;
    let seeker =
        Seeker { address, wanted, files, progress: Arc::clone(&progress), started: 0, obstacle: NOBODY };
    thread::Builder::new().name("polyloop-join".into()).spawn(move || tell(seeker.run()))?;
    Ok(Joining(progress))
}

/// Why a host has not been let in yet.
const NOBODY: &str = "nobody has answered who serves it";
const BUSY: &str = "who listens there lets nobody in: end that process";

struct Seeker {
    address: Address,
    wanted: Wanted,
    files: Files,
    progress: Arc<Progress>,
    /// Brokers that were started.
    started: u32,
    obstacle: &'static str,
}

impl Seeker {
    fn run(mut self) -> News {
        let latest = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        let news = loop {
            if self.progress.state().is_over {
                break refused("it was given up");
            }
            match self.attempt() {
                Ok(Some(news)) => break news,
                Ok(None) if Instant::now() < latest => self.rest(pause),
                Ok(None) => {
                    break refused(&format!("'{}': {}", self.address.path().display(), self.obstacle));
                }
                Err(error) => break refused(&error.to_string()),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        // Who drops the join from now on does not shut the line.
        self.progress.state().line = None;
        news
    }

    /// Waits some time, or until the join is given up.
    fn rest(&self, pause: Duration) {
        let state = self.progress.state();
        drop(self.progress.changed.wait_timeout_while(state, pause, |state| !state.is_over));
    }

    /// Nothing if the host is to try again: the broker was about to end, or somebody else is about
    /// to start one.
    fn attempt(&mut self) -> io::Result<Option<News>> {
        let Some((broker, mut socket)) = self.reach()? else { return Ok(None) };
        let founds = socket.is_some() && !self.wanted.is_fresh;
        let outcome = self.attempt_at(broker, &mut socket);
        match socket.filter(|_| founds) {
            // There is no broker.
            Some(listener) => self.address.close(listener),
            // The broker may have found this host at the socket when it ended.
            None if founds && !matches!(outcome, Ok(Some(News::Joined(_)))) => self.address.clear(),
            None => {}
        }
        outcome
    }

    /// Takes the socket if it has started a broker with it.
    fn attempt_at(
        &mut self,
        mut broker: UnixStream,
        socket: &mut Option<OwnedFd>,
    ) -> io::Result<Option<News>> {
        if !self.wait_at(&broker)? {
            return Ok(None);
        }
        if !packet::is_ours(&broker)? {
            return Ok(Some(refused("what serves it belongs to another user")));
        }
        let (lifeline, far) = UnixStream::pair()?;
        match self.send(&broker, far.as_fd()) {
            // The broker may have said why before it hung up.
            Err(error) if !packet::is_gone(&error) => return Err(error),
            _ => drop(far),
        }
        // Only now: the broker that is started finds somebody who waits.
        if socket.is_some() {
            self.start_broker(socket)?;
        }
        welcome(&mut broker, lifeline)
    }

    /// A connection to the broker, or to be; with the socket that it is to be started with, if
    /// there is none.
    fn reach(&mut self) -> io::Result<Option<(UnixStream, Option<OwnedFd>)>> {
        if self.wanted.is_fresh {
            let (near, far) = UnixStream::pair()?;
            return Ok(Some((near, Some(far.into()))));
        }
        let found = match self.address.reach()? {
            Found::Connected(broker) => Some((broker, None)),
            Found::Busy => {
                self.obstacle = BUSY;
                None
            }
            Found::Nobody => {
                self.obstacle = NOBODY;
                self.found()?
            }
        };
        if let Some((broker, _)) = &found {
            broker.set_nonblocking(false)?;
        }
        Ok(found)
    }

    /// Makes the socket that hosts find, and is the first at it.
    fn found(&self) -> io::Result<Option<(UnixStream, Option<OwnedFd>)>> {
        let Some(listener) = self.address.listen()? else { return Ok(None) };
        match self.address.reach() {
            Ok(Found::Connected(broker)) => Ok(Some((broker, Some(listener)))),
            found => {
                self.address.close(listener);
                // What the kernel refuses now, it refuses at the next try.
                found.map(|_| None)
            }
        }
    }

    /// Starts a broker with the socket, which is no child of this process: nothing that ends a
    /// host with all its children, its group or its session ends the guest of all.
    fn start_broker(&mut self, socket: &mut Option<OwnedFd>) -> io::Result<()> {
        if self.started == MOST {
            return Err(io::Error::other("its broker has ended each time that it was started"));
        }
        socket.take().map_or(Ok(()), |socket| self.spawn(socket))?;
        self.started += 1;
        Ok(())
    }

    fn spawn(&self, socket: OwnedFd) -> io::Result<()> {
        let Wanted { broker, drain_timeout, command, environment, .. } = &self.wanted;
        let failed = |why: &dyn std::fmt::Display| {
            io::Error::other(format!("its broker '{}' cannot be started: {why}", broker.display()))
        };
        // It hands the socket to a process that it leaves behind, and ends.
        let started = Command::new(broker)
            .arg("start-broker")
            .arg(drain_timeout.to_string())
            .arg(self.address.path())
            .args(command)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match started {
            Ok(status) if status.success() => Ok(()),
            // The number of an error: it cannot leave a process behind.
            Ok(status) => Err(match status.code() {
                Some(number @ (libc::EAGAIN | libc::ENOMEM)) => failed(&io::Error::from_raw_os_error(number)),
                _ => failed(&status),
            }),
            // Something else in this process waits for all of its children.
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// `false`: the join was given up.
    fn wait_at(&self, line: &UnixStream) -> io::Result<bool> {
        line.set_read_timeout(Some(PATIENCE))?;
        let mut state = self.progress.state();
        state.line = Some(line.try_clone()?);
        Ok(!state.is_over)
    }

    fn send(&self, broker: &UnixStream, lifeline: BorrowedFd<'_>) -> io::Result<()> {
        let [block, requests, responses, bell] = self.files.each_ref().map(AsFd::as_fd);
        let files = [block, requests, responses, bell, lifeline];
        packet::send(broker, b"join\n", &files)?;
        Ok(())
    }
}

/// What a broker says first.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum First {
    Welcome { pid: u32 },
    Unrunnable { missing: bool, message: String },
    Unserved { message: String },
}

/// Waits for the broker's first line. Nothing if the broker has ended before.
fn welcome(broker: &mut UnixStream, lifeline: UnixStream) -> io::Result<Option<News>> {
    let (line, files) = match first(broker) {
        Err(error) if packet::is_gone(&error) => return Ok(None),
        Err(error) if packet::is_not_yet(&error) => {
            let why = format!("its broker does not answer within {} s: end that process", PATIENCE.as_secs());
            return Err(io::Error::other(why));
        }
        heard => heard?,
    };
    if line.is_empty() {
        return Ok(None);
    }
    let said = serde_json::from_slice(&line)
        .map_err(|error| io::Error::other(format!("its broker says what no broker says: {error}")))?;
    match (said, <[OwnedFd; 2]>::try_from(files)) {
        (First::Welcome { pid }, Ok([parking, output])) => {
            broker.set_read_timeout(None)?;
            let parking = Arc::new(ParkingWords::attach(parking.as_fd())?);
            let broker = broker.try_clone()?.into();
            Ok(Some(News::Joined(Place { broker, output, lifeline: lifeline.into(), pid, parking })))
        }
        (First::Unrunnable { missing, message }, _) => {
            Ok(Some(News::Refused(json!({ "missing": missing, "message": message }).to_string())))
        }
        (First::Unserved { message }, _) => Ok(Some(refused(&message))),
        (First::Welcome { .. }, Err(_)) => Err(io::Error::other("its broker sends no parking words")),
    }
}

/// A line, and the descriptors that came with it.
fn first(broker: &mut UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = [0; 1024];
    let Received { bytes, files, is_cut } = packet::receive(&*broker, &mut text)?;
    if is_cut {
        let why = "this process has no descriptor left: raise its limit (ulimit -n), or close some";
        return Err(io::Error::other(why));
    }
    let mut line = text[..bytes].to_vec();
    let mut byte = [0];
    while !line.is_empty() && !line.ends_with(b"\n") && line.len() < LONGEST && broker.read(&mut byte)? > 0 {
        line.push(byte[0]);
    }
    Ok((line, files))
}

fn refused(why: &str) -> News {
    News::Refused(json!({ "message": why }).to_string())
}
