// SPDX-License-Identifier: Apache-2.0
//! A runtime as its hub sees it.

use std::time::{Duration, Instant};

use polyloop_ring::{Window, layout::Header, submission};

use crate::{home::Home, pins::Pin};

/// A turn that ends by the budget finds the guest stuck if it took no task for this long.
const STUCK: Duration = Duration::from_micros(50);

/// A runtime, what it borrows from JavaScript, and how long spinning for it pays.
pub struct Member {
    pub id: u32,
    pub home: Home,
    pub spins: bool,
    pins: Vec<Option<Pin>>,
    pinned: Vec<u32>,
    pub window: Window,
    seen: (u32, Option<Instant>),
}

impl Member {
    pub fn new(id: u32, home: Home, spins: bool) -> Self {
        Self {
            id,
            home,
            spins,
            pins: Vec::new(),
            pinned: Vec::new(),
            window: Window::default(),
            seen: (0, None),
        }
    }

    pub fn header(&self) -> &Header {
        self.home.block().rings().header
    }

    pub fn outstanding(&self) -> bool {
        self.header().host.get() > 0
    }

    /// Keeps the memory of a slot's request, in place of that of its last one.
    pub fn pin(&mut self, slot: u32, pin: Pin) {
        let index = slot as usize;
        if self.pins.len() <= index {
            self.pins.resize_with(index + 1, || None);
        }
        if self.pins[index].replace(pin).is_none() {
            self.pinned.push(slot);
        }
    }

    /// Takes out the pins of requests that the guest may still read.
    pub fn lent(&mut self) -> Vec<Option<Pin>> {
        self.sweep();
        self.pinned.clear();
        std::mem::take(&mut self.pins)
    }

    /// Lets go of the requests that were answered; how many are left.
    pub fn sweep(&mut self) -> usize {
        let block = self.home.block();
        let pins = &mut self.pins;
        self.pinned.retain(|slot| {
            // SAFETY: JavaScript, on this same thread, writes the byte.
            let kept = unsafe { block.pin(*slot).read() } != 0;
            if !kept {
                pins[*slot as usize] = None;
            }
            kept
        });
        self.pinned.len()
    }

    /// Whether tasks wait and none was taken for a while.
    pub fn stuck(&mut self) -> bool {
        let header = self.home.block().rings().header;
        let taken = submission::taken(header);
        let since = match self.seen {
            (before, Some(at)) if before == taken => at,
            _ => Instant::now(),
        };
        self.seen = (taken, Some(since));
        since.elapsed() >= STUCK
    }
}
