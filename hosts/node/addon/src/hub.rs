// SPDX-License-Identifier: Apache-2.0
//! One hub an environment: drains the completion rings of all its connections in step with Node's
//! loop.
//!
//! In libuv's prepare phase, just before the loop would sleep, the hub drains, and while calls are
//! outstanding spins for more within a window and a budget; timers and sockets get their turn at
//! least every `BUDGET`. The hub then arms the rings, looks again, and lets the loop sleep.
//!
//! The loop is kept alive while calls are outstanding. Letting go and taking hold again would cost
//! a call at every first and last request, so the hub lets go only when nothing else keeps the
//! loop alive: `words[0]` tells JavaScript whether it must take hold again. Several hubs of one
//! loop, each of a copy of the package, would wait for each other: they let go at once.

mod copies;
pub mod handles;
mod notices;
mod turn;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use napi_sys as sys;
use polyloop_connection::unload;

use self::copies::Copies;
use crate::{
    bell::Bell, calls::Calls, ending::Changing, guests::Guests, member::Member, napi::Result, pins::Pinner,
    placement::Placement, requests::Requests, signals::Signals, uv,
};

/// Counts of one hub; what tests gate on.
#[derive(Default, Clone, Copy)]
pub struct Counts {
    /// Calls from JavaScript into the add-on.
    pub calls: u64,
    /// Calls from the hub into JavaScript.
    pub drains: u64,
    /// Guest doorbells rung.
    pub doorbells: u64,
    /// Followers woken to help.
    pub helps: u64,
    /// Turns of the loop.
    pub turns: u64,
}

struct Handles {
    doorbell: *mut uv::Handle,
    prepare: *mut uv::Handle,
    check: *mut uv::Handle,
    idle: *mut uv::Handle,
}

pub struct Hub {
    pub calls: Calls,
    copies: Copies,
    uv_loop: *mut uv::Loop,
    handles: Handles,
    closing: u32,
    hook: sys::napi_async_cleanup_hook_handle,
    words: *mut u32,
    idling: bool,
    pub guests: Arc<Guests>,
    pub pinner: Pinner,
    pub signals: Arc<Signals>,
    pub members: Vec<Member>,
    /// Of the runtimes whose instances they are.
    pub requests: HashMap<u32, Arc<Requests>>,
    pub counts: Counts,
}

impl Hub {
    /// `words[0]`: 1 while the loop is kept alive. `words[2]` is JavaScript's: the last number of an instance.
    pub fn words(&self) -> (*mut u8, usize) {
        (self.words.cast(), 16 * size_of::<u32>())
    }

    pub fn member(&mut self, id: u32) -> Result<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.id == id)
            .ok_or_else(|| format!("there is no connection {id}").into())
    }

    /// Makes the memory that the requests of a runtime lie in.
    pub fn open_requests(&mut self, id: u32, process: bool) -> Result<()> {
        if let Entry::Vacant(place) = self.requests.entry(id) {
            place.insert(Arc::new(Requests::new(process)?));
        }
        Ok(())
    }

    /// The same memory. None once it was released: nobody would release it again.
    pub fn requests(&self, id: u32) -> Result<&Arc<Requests>> {
        let none = || format!("there is no memory for requests of {id}: its runtime was unloaded").into();
        self.requests.get(&id).ok_or_else(none)
    }

    /// Keeps the loop alive from now on.
    pub fn ref_loop(&mut self) {
        // SAFETY: the handle is open; words belong to this thread.
        unsafe {
            uv::uv_ref(self.handles.doorbell);
            self.words.write(1);
        }
    }

    /// A doorbell for a guest in a process of its own.
    pub fn bell(&self) -> Result<Bell> {
        // SAFETY: on the loop's thread. Its drop is there, too, with its member's, and the loop
        // goes on at least until it has closed the hub's own handles, which are closed after this
        // one.
        Ok(unsafe { Bell::hang(self.uv_loop) }?)
    }

    /// Forgets a connection whose guest is gone; `may_read`: from here alone.
    pub fn remove(&mut self, id: u32, may_read: bool) {
        if let Ok(member) = self.member(id) {
            if let Placement::Process(remote) = &member.placement {
                // Of one that never got there; JavaScript may hold the block for long.
                remote.close_files();
                remote.responses().retire();
            }
            if may_read {
                member.abandon();
            }
        }
        self.members.retain(|member| member.id != id);
    }

    /// Takes hold of what a connection's guest has left to do, and unloads it. If there is no thread
    /// for that, the guest stays, and this may be tried again.
    pub fn unload(&mut self, id: u32) -> Result<()> {
        let guests = Arc::clone(&self.guests);
        let member = self.member(id)?;
        let connection = match &member.placement {
            Placement::Thread(connection) => Arc::clone(connection),
            // The guest's process is told otherwise, and tells of its end.
            Placement::Process(remote) => {
                remote.stop();
                return Ok(());
            }
        };
        let ending = Arc::clone(&connection);
        unload(connection, || (guests.take(id), (member.lent(), Changing::of(&ending))))?;
        self.member(id)?.pending += 1;
        self.ref_loop();
        Ok(())
    }
}
