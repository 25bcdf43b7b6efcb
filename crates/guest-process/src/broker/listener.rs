// SPDX-License-Identifier: Apache-2.0
//! Where hosts come in: the socket that listens at the address of a guest.
//!
//! A broker that is started for a reload does not have the socket at first. Once its guest is
//! ready, the broker asks the one that has the socket, and gets it as it is, with those who wait
//! there: nobody who comes meanwhile is refused.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant},
};

use polyloop_connection::{
    address::{Address, Found},
    packet,
};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with, sockopt::socket_acceptconn},
};

use super::words::{CUT, YIELD, unserved};

/// What the one that wants the address hears, with the socket.
const YIELDED: &[u8] = b"yielded\n";
/// The pause before a broker asks again, if who has the address does not listen yet, or is about to
/// end.
const PAUSE: Duration = Duration::from_millis(1);
/// The pause before a broker looks again who has come, if it can let nobody in.
const REST: Duration = Duration::from_millis(100);

pub struct Listener {
    address: Address,
    state: State,
    /// Until then nobody is let in.
    rests: Option<Instant>,
    /// A descriptor that is given up to turn somebody away if no other is left.
    reserve: Option<File>,
}

enum State {
    /// Nobody comes in but the host that has this broker started.
    Private,
    /// The broker that has the address was asked for the socket.
    Asks(UnixStream),
    /// The broker that has the address is to be asked again, at this time.
    AsksAgain(Instant),
    /// Whoever looks for the guest comes in.
    Open(UnixListener),
    /// Nobody comes in any more.
    Closed,
}

impl Listener {
    /// The listener that a broker is started with: the socket that listens at the address, or the
    /// one host that it is for.
    pub fn new(socket: OwnedFd, address: Address) -> io::Result<(Self, Option<UnixStream>)> {
        let (state, first) = if socket_acceptconn(&socket)? {
            (opened(socket)?, None)
        } else {
            (State::Private, Some(socket.into()))
        };
        Ok((Self { address, state, rests: None, reserve: reserve() }, first))
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Lets nobody in any more, and leaves no file behind. Who waits there comes again.
    pub fn close(&mut self) {
        if let State::Open(listener) = std::mem::replace(&mut self.state, State::Closed) {
            self.address.close(listener);
        }
    }

    /// Those who have come.
    pub fn accept(&mut self) -> Vec<UnixStream> {
        let State::Open(listener) = &self.state else { return Vec::new() };
        self.rests = None;
        self.reserve = self.reserve.take().or_else(reserve);
        let mut come = Vec::new();
        loop {
            match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(stream) => come.push(stream.into()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return come,
                Err(Errno::MFILE | Errno::NFILE) if turn_away(listener, &mut self.reserve) => {}
                // They wait, and this process does not look at them without end.
                Err(_) => {
                    self.rests = Some(Instant::now() + REST);
                    return come;
                }
            }
        }
    }

    /// What is readable when there is something to do.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Open(listener) if self.rests.is_none() => Some(listener.as_fd()),
            State::Asks(broker) => Some(broker.as_fd()),
            _ => None,
        }
    }

    /// When there is something to do in any case.
    pub fn deadline(&self) -> Option<Instant> {
        if let State::AsksAgain(at) = self.state { Some(at) } else { self.rests }
    }

    /// Goes on taking the address: whether this broker has it.
    ///
    /// # Errors
    /// Why this broker cannot have the address; the listener is private again.
    pub fn take(&mut self) -> io::Result<bool> {
        let next = match std::mem::replace(&mut self.state, State::Private) {
            State::Private | State::AsksAgain(_) => self.reach()?,
            State::Asks(broker) => hear(broker)?,
            state @ (State::Open(_) | State::Closed) => state,
        };
        self.state = next;
        Ok(self.is_open())
    }

    /// Asks for the address who has it; listens there if nobody has it.
    fn reach(&self) -> io::Result<State> {
        match self.address.reach()? {
            Found::Connected(broker) => ask(broker),
            Found::Busy => Ok(again()),
            // Somebody may be about to listen.
            Found::Nobody => self.address.listen()?.map_or_else(|| Ok(again()), opened),
        }
    }

    /// Gives the address to another broker, and closes. `false`: the address is not there to be
    /// given, or the other one has gone.
    pub fn hand_over(&mut self, to: BorrowedFd<'_>) -> bool {
        // RELOAD 3 take the name
        let State::Open(listener) = &self.state else { return false };
        let sent = packet::send(to, YIELDED, &[listener.as_fd()]);
        let is_given = sent.is_ok_and(|sent| sent == YIELDED.len());
        if is_given {
            // The file goes with the socket.
            self.state = State::Closed;
        }
        is_given
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Lets somebody in by the descriptor that is kept for that, to say that nobody is let in. `false`:
/// even that cannot be had.
fn turn_away(listener: &UnixListener, reserve_file: &mut Option<File>) -> bool {
    drop(reserve_file.take());
    let accepted = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
    let is_turned = accepted.is_ok_and(|stream| {
        // It may have gone.
        let _ = UnixStream::from(stream).write_all(format!("{}\n", unserved(CUT)).as_bytes());
        true
    });
    *reserve_file = reserve();
    is_turned
}

fn opened(socket: OwnedFd) -> io::Result<State> {
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(State::Open(listener))
}

fn again() -> State {
    State::AsksAgain(Instant::now() + PAUSE)
}

fn ask(broker: UnixStream) -> io::Result<State> {
    if !packet::is_ours(&broker)? {
        return Err(io::Error::other("what serves it belongs to another user"));
    }
    match packet::send(&broker, YIELD, &[]) {
        Ok(_) => Ok(State::Asks(broker)),
        // A broker that is about to end takes no message.
        Err(error) if packet::is_gone(&error) || packet::is_not_yet(&error) => Ok(again()),
        Err(error) => Err(error),
    }
}

/// What the broker that was asked says.
fn hear(broker: UnixStream) -> io::Result<State> {
    let mut text = [0; YIELDED.len()];
    let (read, mut files) = match packet::receive(&broker, &mut text) {
        Ok(received) if received.is_cut => return Err(io::Error::other(CUT)),
        Ok(received) => (received.bytes, received.files),
        Err(error) if packet::is_not_yet(&error) => return Ok(State::Asks(broker)),
        Err(_) => (0, Vec::new()),
    };
    match (&text[..read], files.pop()) {
        // The broker has ended, or had the address no more: somebody else has it, or nobody.
        (b"", _) => Ok(again()),
        (YIELDED, Some(socket)) if socket_acceptconn(&socket)? => opened(socket),
        _ => Err(io::Error::other("what serves it answers with what is no socket")),
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf};

    use super::*;

    /// An address of one test's own; the folder is gone with the test.
    struct Place {
        folder: PathBuf,
        address: Address,
    }

    impl Place {
        fn new(of: &str) -> Self {
            let folder = env::temp_dir().join(format!("polyloop-listener-{of}-{}", std::process::id()));
            std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
                .create(&folder)
                .unwrap();
            let address = Address::at(folder.join("guest").as_os_str()).unwrap();
            Self { folder, address }
        }

        fn private(&self) -> Listener {
            let (near, _) = UnixStream::pair().unwrap();
            let (listener, host) = Listener::new(near.into(), self.address.clone()).unwrap();
            assert!(host.is_some() && !listener.is_open());
            listener
        }

        /// The listener at the address, one that wants the address, and the connection over which
        /// it has asked.
        fn asked(&self) -> (Listener, Listener, UnixStream) {
            let (mut old, mut new) = (self.private(), self.private());
            assert!(old.take().unwrap());
            assert!(!new.take().unwrap());
            // The first one has looked whether somebody listens while it had the lock.
            let asks = old.accept().pop().unwrap();
            (old, new, asks)
        }

        fn connected(&self) -> UnixStream {
            UnixStream::connect(self.address.path()).unwrap()
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.folder).unwrap();
        }
    }

    #[test]
    fn nobody_comes_in_before_the_name_is_taken_and_nobody_has_it_before() {
        let place = Place::new("free");
        let mut listener = place.private();
        assert!(listener.accept().is_empty() && listener.file().is_none());
        assert!(listener.take().unwrap());
        let _host = place.connected();
        assert_eq!(listener.accept().len(), 1);
    }

    #[test]
    fn those_who_wait_at_a_listener_that_is_handed_over_come_in_at_the_other() {
        let place = Place::new("handed");
        let (mut old, mut new, asks) = place.asked();
        let _host = place.connected();
        assert!(old.hand_over(asks.as_fd()));
        assert!(old.is_closed() && !old.hand_over(asks.as_fd()));
        assert!(new.take().unwrap());
        assert_eq!(new.accept().len(), 1);
    }

    #[test]
    fn the_name_is_not_given_to_who_has_gone() {
        let place = Place::new("gone");
        let (mut old, new, asks) = place.asked();
        drop(new);
        assert!(!old.hand_over(asks.as_fd()));
        assert!(old.is_open());
    }

    #[test]
    fn who_was_asked_and_ends_is_not_waited_for() {
        let place = Place::new("ends");
        let (mut old, mut new, asks) = place.asked();
        drop(asks);
        old.close();
        assert!(!new.take().unwrap());
        assert!(new.deadline().is_some());
        assert!(new.take().unwrap());
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        let place = Place::new("strange");
        let (_old, mut new, asks) = place.asked();
        packet::send(&asks, YIELDED, &[asks.as_fd()]).unwrap();
        assert!(new.take().unwrap_err().to_string().contains("no socket"));
    }
}
