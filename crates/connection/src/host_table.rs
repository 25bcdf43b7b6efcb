// SPDX-License-Identifier: Apache-2.0
//! One guest that serves several hosts.
//!
//! Each host has a slot in the table: a [`Connection`] that is attached to its block, with its own
//! arenas, doorbell and lifeline. Guest threads wait by parking words, which every host maps, and
//! look at the blocks in turn. A task's name says which host slot it is of, so that its answer, its
//! items and its cancellation stay with its host.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::LocalKey,
};

use polyloop_ring::{
    Rings, Submission, SubmissionSource, Taken, Taker,
    layout::{CachePadded, Header, MAX_SLOTS},
    region::ParkingWords,
    submission,
    versioned_list::{Seen, VersionedList},
};

use crate::{
    connection::{Connection, Event, Task},
    error::ErrorObject,
    log::Log,
    task_source::TaskSource,
};

/// Bits of a task's name that its slot takes, counted from 1: there are as many request buffers as
/// fit.
const SLOT_BITS: u32 = 20;
/// Bits that say which host slot it is of, above those of its own slot and below the generation.
const HOST_BITS: u32 = 12;
/// Most hosts at once.
pub const HOST_SLOTS: usize = 1 << HOST_BITS;

// A block has two request buffers a slot, a quarter more, and some.
const _: () = assert!(MAX_SLOTS * 9 / 4 + 64 < 1 << SLOT_BITS && SLOT_BITS + HOST_BITS == 32);

fn name(slot: usize, task: u64) -> u64 {
    task | (slot as u64) << SLOT_BITS
}

fn split(name: u64) -> (usize, u64) {
    let slots = (HOST_SLOTS as u64 - 1) << SLOT_BITS;
    ((name & slots) as usize >> SLOT_BITS, name & !slots)
}

#[derive(Clone)]
struct HostSlot {
    number: usize,
    connection: Arc<Connection>,
}

/// The hosts of one guest.
pub struct HostTable {
    parking: Arc<ParkingWords>,
    slots: VersionedList<HostSlot>,
    arrivals: Mutex<Arrivals>,
    log: Log,
    manifest: OnceLock<String>,
    failure: OnceLock<ErrorObject>,
    /// Told what every host is told.
    observer: Box<dyn Fn(&Event) + Send + Sync>,
}

/// What those who come are told, and which slot they get.
#[derive(Default)]
struct Arrivals {
    /// The number after the last one that was given: a number is used again as late as can be.
    next: usize,
    /// What hosts were told of the guest's start or death.
    told: Option<Event>,
}

/// There are [`HOST_SLOTS`] hosts already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl HostTable {
    /// A table without a host, whose guest threads wait by these words. `observer` is told what
    /// every host is told.
    pub fn new(parking: Arc<ParkingWords>, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let log = Log::default();
        // What is printed goes to this process's streams.
        log.close();
        let (manifest, failure) = (OnceLock::new(), OnceLock::new());
        let observer = Box::new(observer);
        Self {
            parking,
            slots: VersionedList::default(),
            arrivals: Mutex::default(),
            log,
            manifest,
            failure,
            observer,
        }
    }

    /// The words that guest threads wait by.
    pub fn parking(&self) -> &Arc<ParkingWords> {
        &self.parking
    }

    /// Gives a host a slot, which hears of the guest's start when that is over.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// If the guest's threads wait by other words for this host.
    pub fn add(&self, connection: &Arc<Connection>) -> Result<(), Full> {
        assert!(connection.block().park_at(Arc::clone(&self.parking)), "a connection is in one table");
        let mut arrivals = self.arrivals();
        let slots = self.slots.see();
        let is_free = |number: &usize| slots.list().iter().all(|slot| slot.number != *number);
        let next = arrivals.next;
        let number = (0..HOST_SLOTS).map(|step| (next + step) % HOST_SLOTS).find(is_free).ok_or(Full)?;
        arrivals.next = number + 1;
        self.slots.change(|slots| slots.push(HostSlot { number, connection: Arc::clone(connection) }));
        submission::wake_all(self.parking.header());
        if let Some(event) = &arrivals.told {
            tell(connection, event);
        }
        Ok(())
    }

    /// A host has gone, or will call no more: what no guest thread has taken is not begun, what is
    /// under way hears that nobody waits for it, and the slot is free when that was answered.
    pub fn leave(&self, connection: &Arc<Connection>) {
        connection.retire();
        self.sweep(connection);
        // A host may have died between its look at a sleeper and the call that wakes the sleeper.
        submission::wake_all(self.parking.header());
    }

    /// Does the same for a host that asks for the end, and hears when that has come.
    pub fn close(&self, connection: &Arc<Connection>) {
        self.leave(connection);
        connection.event(Event::Closed);
    }

    /// Counts a heartbeat for every host.
    pub fn beat(&self) {
        for HostSlot { connection, .. } in self.slots.see().list() {
            connection.block().rings().header.beats.count();
        }
    }

    fn connection(&self, number: usize) -> Option<Arc<Connection>> {
        self.slots.find(|slot| slot.number == number).map(|slot| slot.connection)
    }

    /// Frees the slot of a host that has left, once the guest is done with its memory.
    fn sweep(&self, connection: &Arc<Connection>) {
        if connection.lends() {
            return;
        }
        self.slots.change(|slots| slots.retain(|slot| !Arc::ptr_eq(&slot.connection, connection)));
        // Threads that sleep keep what they have seen.
        submission::wake_all(self.parking.header());
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a host of the guest's start, or of its death.
fn tell(connection: &Connection, event: &Event) {
    match event {
        Event::Ready(manifest) => {
            connection.ready(manifest.as_bytes());
            connection.event(event.clone());
        }
        Event::Died(error) => {
            // What has died was ready, also for a host that comes only now.
            connection.ready(b"");
            connection.fail(error.0.as_bytes());
        }
        Event::Failed(..) | Event::Closed => connection.event(event.clone()),
    }
}

/// How a guest thread waits for the tasks of several hosts.
#[derive(Default)]
pub struct Rounds {
    taker: Taker,
    seen: Option<Seen<HostSlot>>,
    /// Who had its turn last.
    last: usize,
}

/// All blocks, in turn.
struct Blocks<'a> {
    table: &'a HostTable,
    seen: &'a mut Seen<HostSlot>,
    last: &'a mut usize,
}

impl Blocks<'_> {
    fn rings(&self) -> impl Iterator<Item = Rings<'_>> {
        self.seen.list().iter().map(|slot| slot.connection.block().rings())
    }
}

impl SubmissionSource for Blocks<'_> {
    type Task = (usize, Arc<Connection>, Submission);

    fn parking(&self) -> &Header {
        self.table.parking.header()
    }

    fn pop(&mut self) -> Option<Self::Task> {
        if !self.table.slots.is(self.seen) {
            *self.seen = self.table.slots.see();
        }
        let slots = self.seen.list();
        for step in 1..=slots.len() {
            let index = (*self.last + step) % slots.len();
            let HostSlot { number, connection } = &slots[index];
            if let Some(submission) = connection.block().rings().take() {
                *self.last = index;
                return Some((*number, Arc::clone(connection), submission));
            }
        }
        None
    }

    fn is_quiet(&self) -> bool {
        self.rings().all(|rings| submission::is_empty(rings.header)) && self.table.slots.is(self.seen)
    }

    fn host_sleeps(&self) -> bool {
        self.rings().any(|rings| rings.host_sleeps())
    }

    fn host_cpu(&self) -> &CachePadded {
        let slot = self.seen.list().get(*self.last);
        slot.map_or(&self.parking().host_cpu, |slot| &slot.connection.block().rings().header.host_cpu)
    }
}

thread_local! {
    static OF_TABLES: RefCell<(usize, Rounds)> = RefCell::default();
}

impl TaskSource for HostTable {
    type Waiter = Rounds;

    fn waiters() -> &'static LocalKey<RefCell<(usize, Rounds)>> {
        &OF_TABLES
    }

    fn take(&self, Rounds { taker, seen, last }: &mut Rounds, wait: bool) -> Result<Task, Taken> {
        let seen = seen.get_or_insert_with(|| self.slots.see());
        loop {
            let (number, connection, submission) = match taker.take(Blocks { table: self, seen, last }, wait)
            {
                Taken::Task(task) => task,
                Taken::Empty => return Err(Taken::Empty),
                Taken::Stopped => return Err(Taken::Stopped),
            };
            let task = connection.accept(submission);
            // A host that has left by now may not have seen that its task was taken.
            if connection.has_left() {
                if let Some(task) = task {
                    connection.refuse_unstarted(task.id);
                }
                self.sweep(&connection);
            } else if let Some(task) = task {
                return Ok(Task { id: name(number, task.id), ..task });
            }
        }
    }

    fn with<R>(&self, task: u64, act: impl FnOnce(&Connection, u64) -> R) -> Option<R> {
        let (number, task) = split(task);
        let connection = self.connection(number)?;
        let result = act(&connection, task);
        if connection.has_left() {
            self.sweep(&connection);
        }
        Some(result)
    }

    fn beside(&self, task: u64, item: u64) -> u64 {
        name(split(task).0, item)
    }

    fn ready(&self, manifest: &[u8]) -> bool {
        self.manifest.set(String::from_utf8_lossy(manifest).into_owned()).is_ok()
    }

    fn fail(&self, error: &[u8]) {
        let error = ErrorObject::from_guest(error);
        if self.failure.set(error.clone()).is_ok() && self.manifest.get().is_some() {
            self.event(Event::Died(error));
        }
    }

    fn log(&self, stream: u32, text: &[u8]) {
        self.log.push(stream, text);
    }

    fn manifest(&self) -> Option<&str> {
        self.manifest.get().map(String::as_str)
    }

    fn failure(&self) -> Option<&ErrorObject> {
        self.failure.get()
    }

    fn event(&self, event: Event) {
        let mut arrivals = self.arrivals();
        for HostSlot { connection, .. } in self.slots.see().list() {
            tell(connection, &event);
        }
        (self.observer)(&event);
        arrivals.told = Some(event);
    }

    fn stop(&self) {
        submission::stop(self.parking.header());
    }

    fn lends(&self) -> bool {
        self.slots.see().list().iter().any(|slot| slot.connection.lends())
    }
}
