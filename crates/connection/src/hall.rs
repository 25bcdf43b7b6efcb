// SPDX-License-Identifier: Apache-2.0
//! One guest that serves several hosts.
//!
//! Each host has a seat: a [`Runtime`] that is attached to its block, with its own arenas, doorbell and line of life. Guest
//! threads wait by the words of one porch, which every host maps, and look at the blocks in turn. A task's name says
//! which seat it is of, so that its answer, its items and its cancellation stay with its host.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    thread::LocalKey,
};

use polyloop_ring::{
    Rings, Source, Submission, Taken, Taker,
    layout::{Header, Line, MAX_SLOTS},
    region::Porch,
    roster::{Roster, Seen},
    submission,
};

use crate::{
    desk::Desk,
    error::ErrorObject,
    log::Log,
    runtime::{Event, Runtime, Task},
};

/// Bits of a task's name that its slot takes, counted from 1: there are as many carriers as fit.
const SLOT_BITS: u32 = 20;
/// Bits that say which seat it is of, above those of the slot and below the generation.
const SEAT_BITS: u32 = 12;
/// Most hosts at once.
pub const SEATS: usize = 1 << SEAT_BITS;

// A block has two carriers a slot, a quarter more, and some.
const _: () = assert!(MAX_SLOTS * 9 / 4 + 64 < 1 << SLOT_BITS && SLOT_BITS + SEAT_BITS == 32);

fn name(seat: usize, task: u64) -> u64 {
    task | (seat as u64) << SLOT_BITS
}

fn split(name: u64) -> (usize, u64) {
    let seats = (SEATS as u64 - 1) << SLOT_BITS;
    ((name & seats) as usize >> SLOT_BITS, name & !seats)
}

#[derive(Clone)]
struct Seat {
    number: usize,
    runtime: Arc<Runtime>,
}

/// The hosts of one guest.
pub struct Hall {
    porch: Arc<Porch>,
    seats: Roster<Seat>,
    door: Mutex<Door>,
    log: Log,
    manifest: OnceLock<String>,
    failure: OnceLock<ErrorObject>,
    /// Told what every host is told.
    observer: Box<dyn Fn(&Event) + Send + Sync>,
}

/// What those who come are told.
#[derive(Default)]
struct Door {
    /// The number after the last one that was given: a number is used again as late as can be.
    next: usize,
    /// What hosts were told of the guest's start or death.
    told: Option<Event>,
}

/// There are [`SEATS`] hosts already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Hall {
    /// A hall without a host, whose guest threads wait by a porch. `observer` is told what every host is told.
    pub fn new(porch: Arc<Porch>, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let log = Log::default();
        // What is printed goes to this process's streams.
        log.close();
        let (manifest, failure) = (OnceLock::new(), OnceLock::new());
        let observer = Box::new(observer);
        Self { porch, seats: Roster::default(), door: Mutex::default(), log, manifest, failure, observer }
    }

    /// The words that guest threads wait by.
    pub fn porch(&self) -> &Arc<Porch> {
        &self.porch
    }

    /// Seats a host, which hears of the guest's start when that is over.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// Where the runtime's threads wait by other words.
    pub fn seat(&self, runtime: &Arc<Runtime>) -> Result<(), Full> {
        assert!(runtime.block().wait_at(Arc::clone(&self.porch)), "a runtime has one hall");
        let mut door = self.door();
        let seats = self.seats.see();
        let is_free = |number: &usize| seats.list().iter().all(|seat| seat.number != *number);
        let next = door.next;
        let number = (0..SEATS).map(|step| (next + step) % SEATS).find(is_free).ok_or(Full)?;
        door.next = number + 1;
        self.seats.change(|seats| seats.push(Seat { number, runtime: Arc::clone(runtime) }));
        submission::wake_all(self.porch.header());
        if let Some(event) = &door.told {
            tell(runtime, event);
        }
        Ok(())
    }

    /// A host has gone, or will call no more: what no guest thread has taken is not begun, what is under way hears that
    /// nobody waits for it, and the seat is free when that was answered.
    pub fn leave(&self, runtime: &Arc<Runtime>) {
        runtime.retire();
        self.sweep(runtime);
        // A host may have died after it took note of a sleeper and before it woke it.
        submission::wake_all(self.porch.header());
    }

    /// The same of a host that asks for the end, and hears that it has come.
    pub fn close(&self, runtime: &Arc<Runtime>) {
        self.leave(runtime);
        runtime.event(Event::Closed);
    }

    /// Counts a heartbeat for every host.
    pub fn beat(&self) {
        for Seat { runtime, .. } in self.seats.see().list() {
            runtime.block().rings().header.beats.count();
        }
    }

    fn runtime(&self, number: usize) -> Option<Arc<Runtime>> {
        self.seats.find(|seat| seat.number == number).map(|seat| seat.runtime)
    }

    /// Frees the seat of a host that has left, once the guest is done with its memory.
    fn sweep(&self, runtime: &Arc<Runtime>) {
        if runtime.lends() {
            return;
        }
        self.seats.change(|seats| seats.retain(|seat| !Arc::ptr_eq(&seat.runtime, runtime)));
        // Threads that sleep keep what they have seen.
        submission::wake_all(self.porch.header());
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a host of the guest's start, or of its death.
fn tell(runtime: &Runtime, event: &Event) {
    match event {
        Event::Ready(manifest) => {
            runtime.ready(manifest.as_bytes());
            runtime.event(event.clone());
        }
        Event::Died(error) => {
            // What has died was ready, also for a host that comes only now.
            runtime.ready(b"");
            runtime.fail(error.0.as_bytes());
        }
        Event::Failed(..) | Event::Closed => runtime.event(event.clone()),
    }
}

/// How a guest thread waits for the tasks of several hosts.
#[derive(Default)]
pub struct Rounds {
    taker: Taker,
    seen: Option<Seen<Seat>>,
    /// Who had its turn last.
    last: usize,
}

/// All blocks, in turn.
struct Blocks<'a> {
    hall: &'a Hall,
    seen: &'a mut Seen<Seat>,
    last: &'a mut usize,
}

impl Blocks<'_> {
    fn rings(&self) -> impl Iterator<Item = Rings<'_>> {
        self.seen.list().iter().map(|seat| seat.runtime.block().rings())
    }
}

impl Source for Blocks<'_> {
    type Task = (usize, Arc<Runtime>, Submission);

    fn porch(&self) -> &Header {
        self.hall.porch.header()
    }

    fn pop(&mut self) -> Option<Self::Task> {
        if !self.hall.seats.is(self.seen) {
            *self.seen = self.hall.seats.see();
        }
        let seats = self.seen.list();
        for step in 1..=seats.len() {
            let index = (*self.last + step) % seats.len();
            let Seat { number, runtime } = &seats[index];
            if let Some(submission) = runtime.block().rings().take() {
                *self.last = index;
                return Some((*number, Arc::clone(runtime), submission));
            }
        }
        None
    }

    fn is_quiet(&self) -> bool {
        self.rings().all(|rings| submission::is_empty(rings.header)) && self.hall.seats.is(self.seen)
    }

    fn host_sleeps(&self) -> bool {
        self.rings().any(|rings| rings.host_sleeps())
    }

    fn host_cpu(&self) -> &Line {
        let seat = self.seen.list().get(*self.last);
        seat.map_or(&self.porch().host_cpu, |seat| &seat.runtime.block().rings().header.host_cpu)
    }
}

thread_local! {
    static OF_HALLS: RefCell<(usize, Rounds)> = RefCell::default();
}

impl Desk for Hall {
    type Waiter = Rounds;

    fn waiters() -> &'static LocalKey<RefCell<(usize, Rounds)>> {
        &OF_HALLS
    }

    fn take(&self, Rounds { taker, seen, last }: &mut Rounds, wait: bool) -> Result<Task, Taken> {
        let seen = seen.get_or_insert_with(|| self.seats.see());
        loop {
            let (number, runtime, submission) = match taker.take(Blocks { hall: self, seen, last }, wait) {
                Taken::Task(task) => task,
                Taken::Empty => return Err(Taken::Empty),
                Taken::Stopped => return Err(Taken::Stopped),
            };
            let task = runtime.accept(submission);
            // A host that has left by now may not have seen that its task was taken.
            if runtime.has_left() {
                if let Some(task) = task {
                    runtime.refuse_unstarted(task.id);
                }
                self.sweep(&runtime);
            } else if let Some(task) = task {
                return Ok(Task { id: name(number, task.id), ..task });
            }
        }
    }

    fn with<R>(&self, task: u64, act: impl FnOnce(&Runtime, u64) -> R) -> Option<R> {
        let (number, task) = split(task);
        let runtime = self.runtime(number)?;
        let result = act(&runtime, task);
        if runtime.has_left() {
            self.sweep(&runtime);
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
        let mut door = self.door();
        for Seat { runtime, .. } in self.seats.see().list() {
            tell(runtime, &event);
        }
        (self.observer)(&event);
        door.told = Some(event);
    }

    fn stop(&self) {
        submission::stop(self.porch.header());
    }

    fn lends(&self) -> bool {
        self.seats.see().list().iter().any(|seat| seat.runtime.lends())
    }
}
