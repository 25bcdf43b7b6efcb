// SPDX-License-Identifier: Apache-2.0
//! Serves a guest for several hosts, which a keeper sends here.
//!
//! A packet `join` brings the descriptors of a host, which from then on is served as the one host of a process is, on a
//! thread for its line of life. A packet `end` ends the guest. Where the keeper goes, this process goes, too.

use std::{
    io::{self, BufRead},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use polyloop_connection::{
    Desk, ErrorObject, Event, Hall, Runtime,
    packet::{self, Files},
};
use polyloop_ring::region::Porch;

use crate::{
    life::{Start, take},
    serve::{FIRST, Kept, PORCH, attach, end_group, listen, wait},
};

/// What the keeper asks for.
enum Packet {
    Join(Files),
    End,
}

/// The guest and its hosts.
struct House {
    hall: Arc<Hall>,
    guest: Kept<Hall>,
    begun: Mutex<bool>,
}

pub fn serve() -> io::Result<()> {
    // SAFETY: this process was started with these descriptors for this.
    let (keeper, porch) = unsafe { (take(FIRST)?, take(PORCH)?) };
    let (sender, events) = mpsc::channel();
    // Nobody waits for it once this process is about to end.
    let tell = move |event: &Event| drop(sender.send(event.clone()));
    let hall = Arc::new(Hall::new(Arc::new(Porch::attach(porch.as_fd())?), tell));
    let house = Arc::new(House { hall, guest: Kept::default(), begun: Mutex::default() });
    thread::Builder::new().name("polyloop-keeper".into()).spawn(move || {
        if let Err(error) = house.open(&keeper) {
            eprintln!("polyloop: this process cannot serve a guest any more: {error}");
        }
        end_group();
    })?;
    wait(&events);
    Ok(())
}

impl House {
    /// Does what the keeper asks for, until it has gone.
    fn open(self: &Arc<Self>, keeper: &OwnedFd) -> io::Result<()> {
        while let Some(packet) = receive(keeper)? {
            match packet {
                Packet::Join(files) => {
                    let house = Arc::clone(self);
                    thread::Builder::new().name("polyloop-life".into()).spawn(move || house.join(files))?;
                }
                Packet::End => self.guest.end(&self.hall),
            }
        }
        Ok(())
    }

    /// Serves a host until it has gone.
    fn join(&self, files: Files) {
        let [block, requests, responses, bell, life] = files;
        let memory = [block, requests, responses];
        // Where it cannot be attached to it has gone already, or is no host.
        let Ok((runtime, start, hears)) = attach(&memory, bell, life, None) else { return };
        if let Err(error) = self.serve(&runtime, start, hears) {
            runtime.event(Event::Failed(1, ErrorObject::new("init-failed", &error.to_string())));
        }
        self.hall.leave(&runtime);
    }

    fn serve(&self, runtime: &Arc<Runtime>, start: Start, hears: impl BufRead) -> io::Result<()> {
        let many = |_| io::Error::other("there are too many hosts: let fewer share a guest");
        self.hall.seat(runtime).map_err(many)?;
        if let Err(error) = self.begin(start) {
            // None that come later can be served, either.
            self.hall.event(Event::Failed(1, ErrorObject::new("init-failed", &error.to_string())));
        }
        listen(hears, || self.hall.close(runtime));
        Ok(())
    }

    /// Loads the guest for the first host; all ask for the same.
    fn begin(&self, start: Start) -> io::Result<()> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *begun, true) {
            self.guest.begin(&self.hall, start, Hall::beat)?;
        }
        Ok(())
    }
}

/// The next packet; nothing once the keeper has gone.
fn receive(keeper: &OwnedFd) -> io::Result<Option<Packet>> {
    let mut text = [0; 16];
    let (read, files) = loop {
        match packet::receive(keeper, &mut text) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            received => break received?,
        }
    };
    match (&text[..read], Files::try_from(files)) {
        (b"", _) => Ok(None),
        (b"join", Ok(files)) => Ok(Some(Packet::Join(files))),
        (b"end", _) => Ok(Some(Packet::End)),
        _ => Err(io::Error::other("the keeper sends what is no packet")),
    }
}
