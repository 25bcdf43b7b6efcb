// SPDX-License-Identifier: Apache-2.0
//! One guest that serves several hosts, all ends in one process: each host has a `Remote`, the guest a hall with a
//! runtime that is attached to each.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Arc, Weak,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use polyloop_abi::{FLAG_BYTES, KIND_CALL, STATUS_OK};
use polyloop_connection::{Desk, Event, Hall, Host, Remote, Rounds, Runtime, Shared, Task};
use polyloop_ring::{
    Completion, Submission, Taken,
    arena::GuestEnd,
    completion::Drainer,
    entry::{FLAG_HELD, RELEASE},
    parcel::Parcels,
    region::{Access, Block, Mapping, Porch},
    slab::Slabs,
    submission::{self, Submitter},
};

mod support;
use support::{PATIENCE, PAYLOAD};

struct Ear(Sender<Event>);

impl Host for Ear {
    fn wake(&self) {}
    fn event(&self, event: Event) {
        // A host that has gone hears nothing.
        let _ = self.0.send(event);
    }
}

/// A host, as its own process has it, and its seat.
struct Guested {
    remote: Remote,
    seat: Arc<Runtime>,
    events: Receiver<Event>,
}

fn hall() -> Arc<Hall> {
    let (porch, _file) = Porch::new().unwrap();
    Arc::new(Hall::new(Arc::new(porch), |_| {}))
}

/// A host that comes. Its end of the porch is the guest's, as there is one process here.
fn come(hall: &Arc<Hall>) -> Guested {
    let remote = Remote::new(4, Parcels::new().unwrap()).unwrap();
    let files = remote.files().unwrap();
    // SAFETY: they stay open until close_files(), which nobody calls meanwhile.
    let [block, requests, responses] = files.map(|file| unsafe { BorrowedFd::borrow_raw(file) });
    let shared = Shared {
        block: Block::attach(block).unwrap(),
        slabs: Slabs::of(GuestEnd::attach(responses).unwrap()),
        requests: Mapping::of(requests, Access::Read).unwrap(),
    };
    let (sender, events) = channel();
    let seat = Arc::new(Runtime::attach(shared, PAYLOAD, Box::new(Ear(sender))));
    assert!(remote.block().wait_at(Arc::clone(hall.porch())));
    hall.seat(&seat).unwrap();
    Guested { remote, seat, events }
}

impl Guested {
    fn submit(&self, slot: u32, payload: &[u8]) {
        let start = self.remote.block().request(slot);
        // SAFETY: the carrier is free and the payload fits it.
        unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), start, payload.len()) };
        let (task, length) = (slot, payload.len() as u32);
        let call = Submission { task, kind: KIND_CALL, length, ..Submission::default() };
        let rings = self.remote.block().rings();
        if Submitter::new(rings).push(call).unwrap() {
            submission::ring(rings.porch);
        }
    }

    /// The next completion, waited for.
    fn completion(&self) -> Completion {
        let start = Instant::now();
        loop {
            if let Some(completion) = Drainer::new(self.remote.block().rings()).pop() {
                return completion;
            }
            assert!(start.elapsed() < PATIENCE, "no completion");
            thread::yield_now();
        }
    }

    /// A small answer.
    fn answer(&self) -> (u32, Vec<u8>) {
        let completion = self.completion();
        let start = self.remote.block().response(completion.task);
        // SAFETY: the guest has published that many bytes there.
        let answer = unsafe { std::slice::from_raw_parts(start, completion.length as usize) };
        (completion.task, answer.to_vec())
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

fn request(task: &Task) -> Vec<u8> {
    // SAFETY: the task's request, which it is not answered yet.
    unsafe { std::slice::from_raw_parts(task.data, task.submission.length as usize) }.to_vec()
}

fn respond(hall: &Hall, task: u64, data: &[u8]) -> bool {
    hall.with(task, |runtime, task| runtime.respond(task, STATUS_OK, FLAG_BYTES, data)).unwrap_or(false)
}

/// A guest thread that answers with the request, until the end.
fn echo(hall: &Arc<Hall>) -> JoinHandle<()> {
    let hall = Arc::clone(hall);
    thread::spawn(move || {
        let mut rounds = Rounds::default();
        while let Ok(task) = hall.take(&mut rounds, true) {
            respond(&hall, task.id, &request(&task));
        }
    })
}

fn take(hall: &Hall) -> Task {
    hall.take(&mut Rounds::default(), true).unwrap()
}

/// Whether a seat is free, and its memory given back.
fn is_freed(seat: &Weak<Runtime>) -> bool {
    let start = Instant::now();
    while seat.strong_count() > 0 && start.elapsed() < PATIENCE {
        thread::yield_now();
    }
    seat.strong_count() == 0
}

#[test]
fn each_host_gets_the_answers_to_its_own_calls() {
    let hall = hall();
    let threads = [echo(&hall), echo(&hall), echo(&hall)];
    let hosts = [come(&hall), come(&hall), come(&hall)];
    for round in 0..2000u32 {
        for (at, host) in hosts.iter().enumerate() {
            host.submit(round % 4, format!("{round} of host {at}").as_bytes());
        }
        for (at, host) in hosts.iter().enumerate() {
            assert_eq!(host.answer(), (round % 4, format!("{round} of host {at}").into_bytes()));
        }
    }
    hall.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_names_of_two_hosts_calls_differ_even_where_one_comes_when_the_other_has_gone() {
    let hall = hall();
    let mut names = Vec::new();
    for _ in 0..3 {
        let host = come(&hall);
        host.submit(0, b"");
        let task = take(&hall);
        assert!(respond(&hall, task.id, b"") && !respond(&hall, task.id, b""));
        names.push(task.id);
        hall.close(&host.seat);
        assert_eq!(host.event(), Event::Closed);
        assert!(!respond(&hall, task.id, b""), "its host has gone");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_host_with_many_calls_leaves_others_their_turn() {
    let hall = hall();
    let (busy, other) = (come(&hall), come(&hall));
    for slot in 0..4 {
        busy.submit(slot, b"busy");
    }
    other.submit(0, b"other");
    let mut rounds = Rounds::default();
    let first: Vec<_> = (0..2).map(|_| request(&hall.take(&mut rounds, true).unwrap())).collect();
    assert!(first.contains(&b"other".to_vec()), "{first:?}");
}

#[test]
fn hosts_hear_of_the_guests_start_and_death_whenever_they_come() {
    let hall = hall();
    let early = come(&hall);
    assert!(hall.ready(b"{}") && !hall.ready(b"{}"));
    hall.event(Event::Ready("{}".into()));
    let late = come(&hall);
    for host in [&early, &late] {
        assert_eq!(host.event(), Event::Ready("{}".into()));
    }
    hall.fail(br#"{"message":"as asked"}"#);
    for host in [&early, &late, &come(&hall)] {
        assert!(matches!(host.event(), Event::Died(_)));
    }
}

#[test]
fn a_host_that_goes_is_not_waited_for_and_its_memory_is_free_when_its_calls_are_answered() {
    let hall = hall();
    let (gone, other) = (come(&hall), come(&hall));
    gone.submit(0, b"begun");
    let task = take(&hall);
    assert_eq!(hall.with(task.id, Runtime::cancelled), Some(Some(false)));
    gone.submit(1, b"never begun");
    let Guested { remote, seat, .. } = gone;
    drop(remote);
    hall.leave(&seat);
    assert_eq!(hall.with(task.id, Runtime::cancelled), Some(Some(true)));
    assert_eq!(hall.take(&mut Rounds::default(), false).unwrap_err(), Taken::Empty);
    let weak = Arc::downgrade(&seat);
    drop(seat);
    assert_eq!(request(&task), b"begun", "the memory stays while the guest may read it");
    assert!(respond(&hall, task.id, b"too late"));
    assert!(is_freed(&weak));
    assert!(!respond(&hall, task.id, b"again"));
    other.submit(0, b"goes on");
    let task = take(&hall);
    assert!(respond(&hall, task.id, b"answer"));
    assert_eq!(other.answer(), (0, b"answer".to_vec()));
}

#[test]
fn a_request_that_the_guest_keeps_keeps_its_hosts_memory() {
    let hall = hall();
    let host = come(&hall);
    host.submit(0, b"kept");
    let task = take(&hall);
    assert_eq!(hall.with(task.id, Runtime::hold), Some(true));
    assert!(respond(&hall, task.id, b""));
    assert_ne!(host.completion().flags & FLAG_HELD, 0);
    hall.close(&host.seat);
    let weak = Arc::downgrade(&host.seat);
    let Guested { seat, remote, events } = host;
    drop(seat);
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), Event::Closed, "its host does not wait for it");
    assert_eq!(request(&task), b"kept");
    assert!(hall.lends() && weak.strong_count() > 0);
    hall.with(task.id, Runtime::release);
    assert_eq!(Drainer::new(remote.block().rings()).pop().unwrap().kind, RELEASE);
    assert!(is_freed(&weak) && !hall.lends());
}

#[test]
fn a_thread_that_sleeps_lets_go_of_a_host_that_has_gone_and_sees_one_that_comes() {
    let hall = hall();
    let thread = echo(&hall);
    for _ in 0..20 {
        let host = come(&hall);
        host.submit(0, b"hello");
        assert_eq!(host.answer(), (0, b"hello".to_vec()));
        let weak = Arc::downgrade(&host.seat);
        hall.leave(&host.seat);
        drop(host);
        assert!(is_freed(&weak));
    }
    hall.stop();
    thread.join().unwrap();
}

#[test]
fn hosts_come_and_go_under_load_and_no_call_of_those_who_stay_is_lost() {
    let hall = hall();
    let threads = [echo(&hall), echo(&hall)];
    let stays = come(&hall);
    let passing = thread::spawn({
        let hall = Arc::clone(&hall);
        move || {
            for round in 0..200 {
                let host = come(&hall);
                for slot in 0..4 {
                    host.submit(slot, b"passing");
                }
                for _ in 0..round % 5 {
                    host.completion();
                }
                hall.leave(&host.seat);
            }
        }
    });
    let mut rounds = 0u32;
    while !passing.is_finished() || rounds < 1000 {
        stays.submit(rounds % 4, &rounds.to_le_bytes());
        assert_eq!(stays.answer(), (rounds % 4, rounds.to_le_bytes().to_vec()));
        rounds += 1;
    }
    passing.join().unwrap();
    hall.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_heartbeat_is_counted_for_every_host() {
    let hall = hall();
    let hosts = [come(&hall), come(&hall)];
    hall.beat();
    hall.beat();
    assert!(hosts.iter().all(|host| host.remote.block().rings().header.beats.get() == 2));
}
