// SPDX-License-Identifier: Apache-2.0
//! Where hosts come in: the socket that listens at the name of a guest.
//!
//! A broker that is started for a reload does not have the socket at first. Once its guest is
//! ready, the broker asks the one that has the socket, and gets it as it is, with those who wait
//! there: nobody who comes meanwhile is refused.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            net::{UnixListener, UnixStream},
        },
    },
    time::{Duration, Instant},
};

use polyloop_connection::packet;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
        sockopt::socket_acceptconn,
    },
};

/// What a broker says to the one that has the name.
pub const YIELD: &[u8] = b"yield\n";
/// What the one that wants the name hears, with the socket.
const YIELDED: &[u8] = b"yielded\n";
/// The pause before a broker asks again, if who has the name does not listen yet, or is about to
/// end.
const PAUSE: Duration = Duration::from_millis(1);

pub struct Listener {
    name: SocketAddrUnix,
    state: State,
}

enum State {
    /// Nobody comes in but the host that has this broker started.
    Private,
    /// The broker that has the name was asked for the socket.
    Asks(UnixStream),
    /// The broker that has the name is to be asked again, at this time.
    AsksAgain(Instant),
    /// Whoever looks for the name comes in.
    Open(UnixListener),
    /// Nobody comes in any more.
    Closed,
}

impl Listener {
    /// The listener that a broker is started with: the socket that listens at the name, or the one
    /// host that it is for.
    pub fn new(socket: OwnedFd, name: &OsStr) -> io::Result<(Self, Option<UnixStream>)> {
        let name = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
        if socket_acceptconn(&socket)? {
            return Ok((Self { name, state: opened(socket)? }, None));
        }
        Ok((Self { name, state: State::Private }, Some(socket.into())))
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Lets nobody in any more. Who waits there comes again.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    /// Those who have come.
    pub fn accept(&self) -> Vec<UnixStream> {
        let State::Open(listener) = &self.state else { return Vec::new() };
        std::iter::from_fn(|| listener.accept().ok()).map(|(stream, _)| stream).collect()
    }

    /// What is readable when there is something to do.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Open(listener) => Some(listener.as_fd()),
            State::Asks(broker) => Some(broker.as_fd()),
            _ => None,
        }
    }

    /// When there is something to do in any case.
    pub fn deadline(&self) -> Option<Instant> {
        if let State::AsksAgain(at) = self.state { Some(at) } else { None }
    }

    /// Goes on taking the name: whether this broker has it.
    ///
    /// # Errors
    /// Why this broker cannot have the name; the listener is private again.
    pub fn take(&mut self) -> io::Result<bool> {
        let next = match std::mem::replace(&mut self.state, State::Private) {
            State::Private | State::AsksAgain(_) => self.reach()?,
            State::Asks(broker) => hear(broker)?,
            state @ (State::Open(_) | State::Closed) => state,
        };
        self.state = next;
        Ok(self.is_open())
    }

    /// Asks for the name who has it; listens there if nobody has it.
    fn reach(&self) -> io::Result<State> {
        let socket = socket()?;
        match connect(&socket, &self.name) {
            Ok(()) => return ask(socket),
            // Too many wait there.
            Err(Errno::AGAIN) => return Ok(again()),
            Err(Errno::CONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        match bind(&socket, &self.name) {
            Ok(()) => {
                listen(&socket, -1)?;
                opened(socket)
            }
            // Somebody is about to listen.
            Err(Errno::ADDRINUSE) => Ok(again()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the name to another broker, and closes. `false`: the name is not there to be given, or
    /// the other one has gone.
    pub fn hand_over(&mut self, to: BorrowedFd<'_>) -> bool {
        // RELOAD 3 take the name
        let State::Open(listener) = &self.state else { return false };
        let sent = packet::send(to, YIELDED, &[listener.as_fd()]);
        let is_given = sent.is_ok_and(|sent| sent == YIELDED.len());
        if is_given {
            self.close();
        }
        is_given
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

fn opened(socket: OwnedFd) -> io::Result<State> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(State::Open(listener))
}

fn again() -> State {
    State::AsksAgain(Instant::now() + PAUSE)
}

fn ask(socket: OwnedFd) -> io::Result<State> {
    if !packet::is_ours(&socket)? {
        return Err(io::Error::other("what serves it belongs to another user"));
    }
    // A broker that is about to end takes no message.
    let is_asked = packet::send(&socket, YIELD, &[]).is_ok();
    Ok(if is_asked { State::Asks(socket.into()) } else { again() })
}

/// What the broker that was asked says.
fn hear(broker: UnixStream) -> io::Result<State> {
    let mut text = [0; YIELDED.len()];
    let (read, mut files) = match packet::receive(&broker, &mut text) {
        Ok(received) => received,
        Err(error) if packet::is_not_yet(&error) => return Ok(State::Asks(broker)),
        Err(_) => (0, Vec::new()),
    };
    match (&text[..read], files.pop()) {
        // The broker has ended, or had the name no more: somebody else has the name, or nobody.
        (b"", _) => Ok(again()),
        (YIELDED, Some(socket)) if socket_acceptconn(&socket)? => opened(socket),
        _ => Err(io::Error::other("what serves it answers with what is no socket")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    use super::*;

    /// A name of this test's own.
    fn name(of: &str) -> String {
        format!("polyloop-test-{of}-{}", std::process::id())
    }

    fn private(name: &str) -> Listener {
        let (near, _) = UnixStream::pair().unwrap();
        let (listener, host) = Listener::new(near.into(), OsStr::new(name)).unwrap();
        assert!(host.is_some() && !listener.is_open());
        listener
    }

    /// The listener at the name, one that wants the name, and the connection over which it has
    /// asked.
    fn asked(name: &str) -> (Listener, Listener, UnixStream) {
        let (mut old, mut new) = (private(name), private(name));
        assert!(old.take().unwrap());
        assert!(!new.take().unwrap());
        let asks = old.accept().pop().unwrap();
        (old, new, asks)
    }

    fn connected(name: &str) -> UnixStream {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
    }

    #[test]
    fn nobody_comes_in_before_the_name_is_taken_and_nobody_has_it_before() {
        let name = name("free");
        let mut listener = private(&name);
        assert!(listener.accept().is_empty() && listener.file().is_none());
        assert!(listener.take().unwrap());
        let _host = connected(&name);
        assert_eq!(listener.accept().len(), 1);
    }

    #[test]
    fn those_who_wait_at_a_listener_that_is_handed_over_come_in_at_the_other() {
        let name = name("handed");
        let (mut old, mut new, asks) = asked(&name);
        let _host = connected(&name);
        assert!(old.hand_over(asks.as_fd()));
        assert!(old.is_closed() && !old.hand_over(asks.as_fd()));
        assert!(new.take().unwrap());
        assert_eq!(new.accept().len(), 1);
    }

    #[test]
    fn the_name_is_not_given_to_who_has_gone() {
        let name = name("gone");
        let (mut old, new, asks) = asked(&name);
        drop(new);
        assert!(!old.hand_over(asks.as_fd()));
        assert!(old.is_open());
    }

    #[test]
    fn who_was_asked_and_ends_is_not_waited_for() {
        let name = name("ends");
        let (mut old, mut new, asks) = asked(&name);
        drop(asks);
        old.close();
        assert!(!new.take().unwrap());
        assert!(new.deadline().is_some());
        assert!(new.take().unwrap());
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let name = name("strange");
        let (_old, mut new, asks) = asked(&name);
        packet::send(&asks, YIELDED, &[asks.as_fd()]).unwrap();
        assert!(new.take().unwrap_err().to_string().contains("no socket"));
    }
}
