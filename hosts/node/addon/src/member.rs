// SPDX-License-Identifier: Apache-2.0
//! A connection as its hub sees it.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use polyloop_connection::join::{Joining, Place};
use polyloop_ring::{
    Window,
    layout::Header,
    region::{Mapping, ParkingWords},
    submission,
};

use crate::{bell::Bell, pins::Pin, placement::Placement, requests::Requests};

/// A turn that ends by the budget finds the guest stuck if it took no task for this long.
const STUCK: Duration = Duration::from_micros(50);

/// Where the bytes of pins begin in memory of the host's own; its first word is how many calls are
/// outstanding.
pub const OWN_PINS: usize = 64;

/// What the host alone writes of a connection, if the block is another process's, too. Nothing that
/// a guest can change decides how long the loop goes on, or how long requests are kept.
pub struct Own {
    pub memory: Arc<Mapping>,
    pub bell: Bell,
    /// While the connection looks for the process of a guest that it shares.
    pub joining: Option<Joining>,
    /// The place there, until JavaScript has it.
    pub place: Option<Place>,
    /// The parking words there, until the guest has started.
    pub parking: Option<Arc<ParkingWords>>,
}

impl Own {
    fn new(length: usize, bell: Bell) -> io::Result<Self> {
        Ok(Self { memory: Arc::new(Mapping::new(length)?), bell, joining: None, place: None, parking: None })
    }
}

/// Memory of requests, which is there until this is dropped.
pub struct Lent {
    _pins: Vec<Option<Pin>>,
    _requests: Arc<Requests>,
}

/// A connection, what it borrows from JavaScript, and how long spinning for it pays.
pub struct Member {
    pub id: u32,
    pub placement: Placement,
    pub spins: bool,
    /// Loads and unloads under way: they keep the loop alive, too.
    pub pending: u32,
    /// Nobody waits for it any more.
    pub is_let_go: bool,
    /// With a guest in a process of its own.
    pub own: Option<Own>,
    pins: Vec<Option<Pin>>,
    pinned: Vec<u32>,
    /// Where JavaScript writes requests that the guest reads in place.
    requests: Arc<Requests>,
    pub window: Window,
    seen: (u32, Option<Instant>),
}

impl Member {
    /// `bell`: the doorbell of a guest in a process of its own.
    pub fn new(
        id: u32,
        placement: Placement,
        spins: bool,
        bell: Option<Bell>,
        requests: Arc<Requests>,
    ) -> io::Result<Self> {
        let length = OWN_PINS + placement.block().constants().request_buffers as usize;
        let own = bell.map(|bell| Own::new(length, bell)).transpose()?;
        Ok(Self {
            id,
            placement,
            spins,
            pending: 0,
            is_let_go: false,
            own,
            pins: Vec::new(),
            pinned: Vec::new(),
            requests,
            window: Window::default(),
            seen: (0, None),
        })
    }

    pub fn header(&self) -> &Header {
        self.placement.block().rings().header
    }

    /// The words that its guest's threads wait by.
    pub fn parking(&self) -> &Header {
        self.placement.block().rings().parking
    }

    /// Whether the loop is kept alive for it.
    pub fn keeps_alive(&self) -> bool {
        !self.is_let_go && (self.pending > 0 || self.outstanding() || self.is_joining())
    }

    /// Whether the connection looks for a guest.
    fn is_joining(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.joining.is_some())
    }

    pub fn outstanding(&self) -> bool {
        match &self.own {
            // SAFETY: the mapping is longer than a word, which JavaScript, on this same thread,
            // writes.
            Some(own) => unsafe { own.memory.as_ptr().cast::<u32>().read_unaligned() > 0 },
            None => self.header().host.get() > 0,
        }
    }

    /// The byte that says whether a request buffer's request is kept.
    ///
    /// # Panics
    /// If there is no such request buffer.
    pub fn pin_byte(&self, buffer: u32) -> *mut u8 {
        match &self.own {
            Some(own) => {
                assert!(buffer < self.placement.block().constants().request_buffers);
                // SAFETY: the mapping has a byte for each request buffer.
                unsafe { own.memory.as_ptr().add(OWN_PINS + buffer as usize) }
            }
            None => self.placement.block().pin(buffer),
        }
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

    /// Takes out the memory of requests that the guest may still read.
    pub fn lent(&mut self) -> Lent {
        self.sweep();
        self.pinned.clear();
        Lent { _pins: std::mem::take(&mut self.pins), _requests: Arc::clone(&self.requests) }
    }

    /// The guest may read requests that were answered, and cannot say when it is done: they are
    /// kept as long as others would get their places.
    pub fn abandon(&mut self) {
        self.sweep();
        self.pinned.clear();
        self.requests.keep(self.pins.drain(..).flatten());
    }

    /// Lets go of the requests that were answered; how many are left.
    pub fn sweep(&mut self) -> usize {
        let mut pinned = std::mem::take(&mut self.pinned);
        pinned.retain(|slot| {
            // SAFETY: JavaScript, on this same thread, writes the byte.
            let kept = unsafe { self.pin_byte(*slot).read() } != 0;
            if !kept {
                self.pins[*slot as usize] = None;
            }
            kept
        });
        self.pinned = pinned;
        self.pinned.len()
    }

    /// Whether tasks wait and none was taken for a while.
    pub fn stuck(&mut self) -> bool {
        let header = self.placement.block().rings().header;
        let taken = submission::taken(header);
        let since = match self.seen {
            (before, Some(at)) if before == taken => at,
            _ => Instant::now(),
        };
        self.seen = (taken, Some(since));
        since.elapsed() >= STUCK
    }
}
