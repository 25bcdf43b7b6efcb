// SPDX-License-Identifier: Apache-2.0
//! What other threads may do to a hub: wake it and leave an event.

use std::sync::{Arc, Mutex};

use polyloop_connection::{Event, Host, join::News};

use crate::uv;

/// A hub's mailbox, which outlives the hub: guest threads may finish after their environment.
#[derive(Default)]
pub struct Signals(Mutex<State>);

#[derive(Default)]
struct State {
    doorbell: Option<Doorbell>,
    notices: Vec<(u32, Notice)>,
}

/// What a hub hears of a connection, outside its rings.
pub enum Notice {
    /// Of its guest's start and end.
    Guest(Event),
    /// Of its way to a guest that is shared.
    Join(News),
}

struct Doorbell(*mut uv::Handle);

// SAFETY: uv_async_send is the one function of libuv that any thread may call; the handle is
// removed from here, under the lock, before it is closed.
unsafe impl Send for Doorbell {}

impl Signals {
    pub fn new(doorbell: *mut uv::Handle) -> Self {
        Self(Mutex::new(State { doorbell: Some(Doorbell(doorbell)), notices: Vec::new() }))
    }

    fn wake(&self) {
        if let Some(doorbell) = &self.0.lock().unwrap().doorbell {
            // SAFETY: the handle is open while it is in here.
            unsafe { uv::uv_async_send(doorbell.0) };
        }
    }

    /// Leaves a notice, which is dropped if the loop has ended.
    pub fn post(&self, id: u32, notice: Notice) {
        let mut state = self.0.lock().unwrap();
        if state.doorbell.is_none() {
            return;
        }
        state.notices.push((id, notice));
        drop(state);
        self.wake();
    }

    pub fn take_notices(&self) -> Vec<(u32, Notice)> {
        std::mem::take(&mut self.0.lock().unwrap().notices)
    }

    /// The loop ends: from now on nobody touches the handle.
    pub fn close(&self) {
        self.0.lock().unwrap().doorbell = None;
        // They may hold descriptors.
        self.take_notices();
    }
}

/// The host of one connection.
pub struct ConnectionHost {
    pub id: u32,
    pub signals: Arc<Signals>,
}

impl Host for ConnectionHost {
    fn wake(&self) {
        self.signals.wake();
    }

    fn event(&self, event: Event) {
        self.signals.post(self.id, Notice::Guest(event));
    }
}
