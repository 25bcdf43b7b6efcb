// SPDX-License-Identifier: Apache-2.0
//! How a host comes to a guest that it shares with others: on a thread of its own, for the broker
//! may have to be started first. `crates/guest-process/src/broker.rs` is the other side.
//!
//! The broker listens at a name. If nobody does, the host makes the listening socket, and its
//! JavaScript starts the broker with it. For a reload the host has a broker started that nobody
//! finds by the name, until that broker takes the name.

use std::{
    io::{self, Read},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use polyloop_connection::packet;
use polyloop_ring::region::ParkingWords;
use serde::Deserialize;
use serde_json::json;

/// What a host shares with the guest, to be sent: block, requests, responses, bell.
pub type Files = [OwnedFd; 4];

/// How long a broker may take to answer: the loop of the host that starts it may be busy.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause before the next look, if somebody has the name and does not listen yet.
const PAUSE: Duration = Duration::from_millis(1);
/// Brokers that one host starts, each because the last one ended before it answered.
const MOST: u32 = 3;

/// What becomes of a join.
pub enum News {
    /// The guest has no broker: one is to be started with this socket.
    Absent(OwnedFd),
    /// The host has a place.
    Joined(Place),
    /// The host gets no place; why, as JSON.
    Refused(String),
}

/// A host's place in a shared guest.
pub struct Place {
    pub broker: OwnedFd,
    pub lifeline: OwnedFd,
    pub pid: u32,
    pub parking: Arc<ParkingWords>,
}

/// A join that is under way, and is given up when this is dropped.
pub struct Joining(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_over: bool,
    /// What the thread waits at.
    line: Option<UnixStream>,
}

impl Drop for Joining {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        if let Some(line) = state.line.take() {
            // Whoever waits there wakes. If the other side has closed the socket already, nobody
            // waits.
            let _ = line.shutdown(Shutdown::Both);
        }
    }
}

/// Joins the guest of this name, or a new one that only this host knows; `tell` hears what becomes
/// of the join, on another thread.
pub fn begin(name: Option<&str>, files: Files, tell: impl Fn(News) + Send + 'static) -> io::Result<Joining> {
    let state = Arc::new(Mutex::new(State::default()));
    let address = name.map(SocketAddr::from_abstract_name).transpose()?;
    let seeker = Seeker { address, files, state: Arc::clone(&state), asked: 0, tell };
    thread::Builder::new().name("polyloop-join".into()).spawn(move || seeker.run())?;
    Ok(Joining(state))
}

struct Seeker<T> {
    /// Nothing if the host looks for nobody.
    address: Option<SocketAddr>,
    files: Files,
    state: Arc<Mutex<State>>,
    asked: u32,
    tell: T,
}

impl<T: Fn(News)> Seeker<T> {
    fn run(mut self) {
        let latest = Instant::now() + PATIENCE;
        loop {
            let news = match self.attempt() {
                Ok(Some(news)) => news,
                Ok(None) if Instant::now() < latest => continue,
                Ok(None) => refused("nobody has answered who serves it"),
                Err(error) => refused(&error.to_string()),
            };
            // Who drops the join from now on does not shut the line.
            self.state().line = None;
            return (self.tell)(news);
        }
    }

    /// Nothing if the host is to try again: the broker was about to end, or somebody else is about
    /// to start one.
    fn attempt(&mut self) -> io::Result<Option<News>> {
        if self.state().is_over {
            return Ok(Some(refused("it was given up")));
        }
        let Some((mut broker, socket)) = self.reach()? else {
            thread::sleep(PAUSE);
            return Ok(None);
        };
        if !self.wait_at(&broker)? {
            return Ok(Some(refused("it was given up")));
        }
        if !packet::is_ours(&broker)? {
            return Ok(Some(refused("what serves it belongs to another user")));
        }
        let (lifeline, far) = UnixStream::pair()?;
        if self.send(&broker, far.as_fd()).is_err() {
            return Ok(None);
        }
        drop(far);
        // Only now: the broker that is started finds somebody who waits.
        if let Some(socket) = socket {
            self.ask_for_broker(socket)?;
        }
        welcome(&mut broker, lifeline)
    }

    /// A connection to the broker, or to be; with the socket that it is to be started with, if
    /// there is none.
    fn reach(&self) -> io::Result<Option<(UnixStream, Option<OwnedFd>)>> {
        let Some(address) = &self.address else {
            let (near, far) = UnixStream::pair()?;
            return Ok(Some((near, Some(far.into()))));
        };
        match UnixStream::connect_addr(address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            connected => return Ok(Some((connected?, None))),
        }
        match UnixListener::bind_addr(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            bound => {
                let listener = bound?;
                Ok(Some((UnixStream::connect_addr(address)?, Some(listener.into()))))
            }
        }
    }

    fn ask_for_broker(&mut self, socket: OwnedFd) -> io::Result<()> {
        if self.asked == MOST {
            return Err(io::Error::other("its broker has ended each time that it was started"));
        }
        self.asked += 1;
        (self.tell)(News::Absent(socket));
        Ok(())
    }

    /// `false`: the join was given up.
    fn wait_at(&self, line: &UnixStream) -> io::Result<bool> {
        line.set_read_timeout(Some(PATIENCE))?;
        let mut state = self.state();
        state.line = Some(line.try_clone()?);
        Ok(!state.is_over)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
}

/// Waits for the broker's first line. Nothing if the broker has ended before.
fn welcome(broker: &mut UnixStream, lifeline: UnixStream) -> io::Result<Option<News>> {
    let (line, parking) = match first(broker) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        heard => heard?,
    };
    if line.is_empty() {
        return Ok(None);
    }
    match (serde_json::from_slice(&line)?, parking) {
        (First::Welcome { pid }, Some(parking)) => {
            broker.set_read_timeout(None)?;
            let parking = Arc::new(ParkingWords::attach(parking.as_fd())?);
            Ok(Some(News::Joined(Place {
                broker: broker.try_clone()?.into(),
                lifeline: lifeline.into(),
                pid,
                parking,
            })))
        }
        (First::Unrunnable { missing, message }, _) => {
            Ok(Some(News::Refused(json!({ "missing": missing, "message": message }).to_string())))
        }
        (First::Welcome { .. }, None) => Err(io::Error::other("its broker sends no parking words")),
    }
}

/// A line, and the descriptor that came with it.
fn first(broker: &mut UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut text = [0; 1024];
    let (read, files) = packet::receive(&*broker, &mut text)?;
    let mut line = text[..read].to_vec();
    let mut byte = [0];
    while !line.is_empty() && !line.ends_with(b"\n") && broker.read(&mut byte)? > 0 {
        line.push(byte[0]);
    }
    Ok((line, files.into_iter().next()))
}

fn refused(why: &str) -> News {
    News::Refused(json!({ "message": why }).to_string())
}
