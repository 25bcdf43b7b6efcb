// SPDX-License-Identifier: Apache-2.0
//! Serves a guest for several hosts, which a broker sends here.
//!
//! A packet `join` brings the descriptors of a host, which from then on is served as the one host
//! of a process is, on a thread for its lifeline. A packet `end` ends the guest. When the broker
//! goes, this process goes, too.

use std::{
    io::{self, BufRead},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use polyloop_connection::{
    Connection, ErrorObject, Event, HostTable, TaskSource,
    packet::{self, Files},
};
use polyloop_ring::region::ParkingWords;

use crate::{
    child::{
        lifeline::Start,
        serve::{Kept, attach, end_process, listen, wait},
    },
    descriptors::{FIRST, PARKING, take},
};

/// What the broker asks for.
enum Packet {
    Join(Files),
    End,
}

/// The guest and its hosts.
struct SharedGuest {
    table: Arc<HostTable>,
    guest: Kept<HostTable>,
    begun: Mutex<bool>,
}

pub fn serve() -> io::Result<()> {
    // SAFETY: this process was started with these descriptors for this.
    let (broker, parking) = unsafe { (take(FIRST)?, take(PARKING)?) };
    let (sender, events) = mpsc::channel();
    // Nobody waits for events once this process is about to end.
    let tell = move |event: &Event| drop(sender.send(event.clone()));
    let table = Arc::new(HostTable::new(Arc::new(ParkingWords::attach(parking.as_fd())?), tell));
    let shared = Arc::new(SharedGuest { table, guest: Kept::default(), begun: Mutex::default() });
    thread::Builder::new().name("polyloop-broker".into()).spawn(move || {
        if let Err(error) = shared.open(&broker) {
            eprintln!("polyloop: this process cannot serve a guest any more: {error}");
        }
        end_process();
    })?;
    wait(&events);
    Ok(())
}

impl SharedGuest {
    /// Does what the broker asks for, until the broker has gone.
    fn open(self: &Arc<Self>, broker: &OwnedFd) -> io::Result<()> {
        while let Some(packet) = receive(broker)? {
            match packet {
                Packet::Join(files) => {
                    let shared = Arc::clone(self);
                    thread::Builder::new().name("polyloop-line".into()).spawn(move || shared.join(files))?;
                }
                Packet::End => self.guest.end(&self.table),
            }
        }
        Ok(())
    }

    /// Serves a host until it has gone.
    fn join(&self, files: Files) {
        let [block, requests, responses, bell, lifeline] = files;
        let memory = [block, requests, responses];
        // A host that cannot be attached to has gone already, or is none.
        let Ok((connection, start, hears)) = attach(&memory, bell, lifeline, None) else { return };
        if let Err(error) = self.serve(&connection, start, hears) {
            connection.event(Event::Failed(1, ErrorObject::new("init-failed", &error.to_string())));
        }
        self.table.leave(&connection);
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
    let mut text = [0; 16];
    let (read, files) = loop {
        match packet::receive(broker, &mut text) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => break received?,
        }
    };
    match (&text[..read], Files::try_from(files)) {
        (b"", _) => Ok(None),
        (b"join", Ok(files)) => Ok(Some(Packet::Join(files))),
        (b"end", _) => Ok(Some(Packet::End)),
        _ => Err(io::Error::other("the broker sends what is no packet")),
    }
}
