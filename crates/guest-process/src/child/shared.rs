// SPDX-License-Identifier: Apache-2.0
//! Serves a guest for several hosts, which a broker sends here.
//!
//! A packet `join` brings the number and the descriptors of a host, which from then on is served as
//! the one host of a process is, on a thread for its lifeline. A host that cannot be served, because
//! this process has no descriptors or threads left or because the host sends what is none of ours,
//! is named in a packet `refuse`, with why, and the others are served as before. A packet `end` ends
//! the guest. When the broker goes, this process goes, too.

use std::{
    io::{self, BufRead},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use polyloop_connection::{
    Connection, ErrorObject, Event, HostTable, TaskSource,
    packet::{self, Files, Received},
};
use polyloop_ring::region::ParkingWords;

use crate::{
    child::{
        lifeline::Start,
        serve::{Kept, attach, end_process, listen, wait},
    },
    descriptors::{FIRST, PARKING, REFUSAL, take},
};

/// What the broker asks for.
enum Packet {
    /// The number of a host, and its descriptors if all have come.
    Join(u64, Option<Files>),
    End,
}

/// The guest and its hosts.
struct SharedGuest {
    table: Arc<HostTable>,
    guest: Kept<HostTable>,
    begun: Mutex<bool>,
    broker: OwnedFd,
}

pub fn serve() -> io::Result<()> {
    // SAFETY: this process was started with these descriptors for this.
    let (broker, parking) = unsafe { (take(FIRST)?, take(PARKING)?) };
    let (sender, events) = mpsc::channel();
    // Nobody waits for events once this process is about to end.
    let tell = move |event: &Event| drop(sender.send(event.clone()));
    let table = Arc::new(HostTable::new(Arc::new(ParkingWords::attach(parking.as_fd())?), tell));
    let shared = Arc::new(SharedGuest { table, guest: Kept::default(), begun: Mutex::default(), broker });
    thread::Builder::new().name("polyloop-broker".into()).spawn(move || {
        if let Err(error) = shared.open() {
            eprintln!("polyloop: this process cannot serve a guest any more: {error}");
        }
        end_process();
    })?;
    wait(&events);
    Ok(())
}

impl SharedGuest {
    /// Does what the broker asks for, until the broker has gone.
    fn open(self: &Arc<Self>) -> io::Result<()> {
        while let Some(packet) = receive(&self.broker)? {
            match packet {
                Packet::Join(number, Some(files)) => {
                    let shared = Arc::clone(self);
                    let join = move || shared.join(number, files);
                    if let Err(error) = thread::Builder::new().name("polyloop-line".into()).spawn(join) {
                        self.refuse(
                            number,
                            &format!("its process can start no thread for this host: {error}"),
                        );
                    }
                }
                Packet::Join(number, None) => {
                    let why = "its process has no descriptor left (EMFILE)";
                    self.refuse(number, why);
                }
                Packet::End => self.guest.end(&self.table),
            }
        }
        Ok(())
    }

    /// Serves a host until it has gone.
    fn join(&self, number: u64, files: Files) {
        let [block, requests, responses, bell, lifeline] = files;
        let memory = [block, requests, responses];
        match attach(&memory, bell, lifeline, None) {
            Ok((connection, start, hears)) => {
                drop(memory);
                if let Err(error) = self.serve(&connection, start, hears) {
                    connection.event(Event::Failed(1, ErrorObject::new("init-failed", &error.to_string())));
                }
                self.table.leave(&connection);
            }
            Err(error) => self.refuse(number, &format!("its process cannot serve this host: {error}")),
        }
    }

    /// Has the broker tell a host that it is not served. A broker that hears nothing any more has
    /// none of this.
    fn refuse(&self, number: u64, why: &str) {
        let mut text = format!("refuse {number} {why}");
        text.truncate(text.floor_char_boundary(REFUSAL));
        let _ = packet::send(&self.broker, text.as_bytes(), &[]);
    }

    fn serve(&self, connection: &Arc<Connection>, start: Start, hears: impl BufRead) -> io::Result<()> {
        let many = |_| io::Error::other("there are too many hosts: let fewer share a guest");
        self.table.add(connection).map_err(many)?;
        if let Err(error) = self.begin(start) {
            // None that come later can be served, either.
            self.table.event(Event::Failed(1, ErrorObject::new("init-failed", &error.to_string())));
        }
        listen(hears, || self.table.close(connection));
        Ok(())
    }

    /// Loads the guest for the first host; all ask for the same.
    fn begin(&self, start: Start) -> io::Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *begun, true) {
            self.guest.begin(&self.table, start, HostTable::beat)?;
        }
        Ok(())
    }
}

/// The next packet; nothing once the broker has gone.
fn receive(broker: &OwnedFd) -> io::Result<Option<Packet>> {
    let mut text = [0; 32];
    let Received { bytes, files, is_cut } = loop {
        match packet::receive(broker, &mut text) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => break received?,
        }
    };
    let text = String::from_utf8_lossy(&text[..bytes]);
    let number = text.strip_prefix("join ").and_then(|number| number.parse().ok());
    match (&*text, number) {
        ("", _) => Ok(None),
        (_, Some(number)) => Ok(Some(Packet::Join(number, Files::try_from(files).ok().filter(|_| !is_cut)))),
        ("end", _) => Ok(Some(Packet::End)),
        _ => Err(io::Error::other("the broker sends what is no packet")),
    }
}
