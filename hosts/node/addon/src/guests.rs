// SPDX-License-Identifier: Apache-2.0
//! Who keeps a guest between its start and its end.

use std::sync::{Arc, Mutex};

use polyloop_connection::{Connection, Guest, unload};

/// The guests of an environment's runtimes, until they are unloaded.
#[derive(Default)]
pub struct Guests(Mutex<State>);

#[derive(Default)]
struct State {
    started: Vec<(u32, Box<dyn Guest>)>,
    ended: bool,
}

impl Guests {
    /// Keeps a guest that has started; if the environment has ended meanwhile, ends the guest, too.
    pub fn keep(&self, id: u32, connection: Arc<Connection>, guest: Box<dyn Guest>) {
        let mut state = self.0.lock().unwrap();
        if state.ended {
            // Without a thread for that the guest is left as it is: stopped, its memory never
            // freed.
            let _ = unload(connection, || (Some(guest), ()));
        } else {
            state.started.push((id, guest));
        }
    }

    /// Takes a guest out, to unload that guest.
    pub fn take(&self, id: u32) -> Option<Box<dyn Guest>> {
        let started = &mut self.0.lock().unwrap().started;
        started.iter().position(|(of, _)| *of == id).map(|index| started.swap_remove(index).1)
    }

    /// Takes all out; what starts from now on is ended at once.
    pub fn end(&self) -> Vec<(u32, Box<dyn Guest>)> {
        let mut state = self.0.lock().unwrap();
        state.ended = true;
        std::mem::take(&mut state.started)
    }
}
