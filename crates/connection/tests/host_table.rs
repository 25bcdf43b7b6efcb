// SPDX-License-Identifier: Apache-2.0
//! One guest that serves several hosts, all ends in one process: each host has a
//! `RemoteConnection`, the guest a table with a connection that is attached to each.

use std::{
    sync::{Arc, Weak, mpsc::Receiver},
    thread::{self, JoinHandle},
    time::Instant,
};

use polyloop_abi::{FLAG_BYTES, KIND_CALL, STATUS_OK};
use polyloop_connection::{Connection, Event, HostTable, RemoteConnection, Rounds, Task, TaskSource};
use polyloop_ring::{
    Completion, Submission, Taken,
    completion::Drainer,
    entry::{FLAG_HELD, RELEASE},
    region::ParkingWords,
    request_heap::RequestHeap,
    submission::{self, Submitter},
};
use polyloop_test_host::rings::{PATIENCE, attach, events, next_completion, place, request};

/// A host, as its own process has it, and its slot in the table.
struct TestHost {
    remote: RemoteConnection,
    slot: Arc<Connection>,
    events: Receiver<Event>,
}

fn table() -> Arc<HostTable> {
    let (parking, _file) = ParkingWords::new().unwrap();
    Arc::new(HostTable::new(Arc::new(parking), |_| {}))
}

/// A host that comes. Its end of the parking words is the guest's, as there is one process here.
fn come(table: &Arc<HostTable>) -> TestHost {
    let remote = RemoteConnection::new(4, RequestHeap::new().unwrap()).unwrap();
    let (host, events) = events();
    let slot = Arc::new(attach(&remote, host));
    assert!(remote.block().park_at(Arc::clone(table.parking())));
    table.add(&slot).unwrap();
    TestHost { remote, slot, events }
}

impl TestHost {
    fn submit(&self, slot: u32, payload: &[u8]) {
        place(self.remote.block(), slot, payload);
        let (task, length) = (slot, payload.len() as u32);
        let call = Submission { task, kind: KIND_CALL, length, ..Submission::default() };
        let rings = self.remote.block().rings();
        if Submitter::new(rings).push(call).unwrap() {
            submission::ring(rings.parking);
        }
    }

    /// The next completion, waited for.
    fn completion(&self) -> Completion {
        next_completion(&mut Drainer::new(self.remote.block().rings()))
    }

    /// A small answer.
    fn answer(&self) -> (u32, Vec<u8>) {
        let answer = self.completion();
        let start = self.remote.block().response(answer.task);
        // SAFETY: the guest has published that many bytes there.
        let data = unsafe { std::slice::from_raw_parts(start, answer.length as usize) };
        (answer.task, data.to_vec())
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

fn respond(table: &HostTable, task: u64, data: &[u8]) -> bool {
    table
        .with(task, |connection, task| connection.respond(task, STATUS_OK, FLAG_BYTES, data))
        .unwrap_or(false)
}

/// A guest thread that answers with the request, until the end.
fn echo(table: &Arc<HostTable>) -> JoinHandle<()> {
    let table = Arc::clone(table);
    thread::spawn(move || {
        let mut rounds = Rounds::default();
        while let Ok(task) = table.take(&mut rounds, true) {
            respond(&table, task.id, request(&task));
        }
    })
}

fn take(table: &HostTable) -> Task {
    table.take(&mut Rounds::default(), true).unwrap()
}

/// Whether a slot is free, and its memory given back.
fn is_freed(slot: &Weak<Connection>) -> bool {
    let start = Instant::now();
    while slot.strong_count() > 0 && start.elapsed() < PATIENCE {
        thread::yield_now();
    }
    slot.strong_count() == 0
}

#[test]
fn each_host_gets_the_answers_to_its_own_calls() {
    let table = table();
    let threads = [echo(&table), echo(&table), echo(&table)];
    let hosts = [come(&table), come(&table), come(&table)];
    for round in 0..2000u32 {
        for (at, host) in hosts.iter().enumerate() {
            host.submit(round % 4, format!("{round} of host {at}").as_bytes());
        }
        for (at, host) in hosts.iter().enumerate() {
            assert_eq!(host.answer(), (round % 4, format!("{round} of host {at}").into_bytes()));
        }
    }
    table.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_names_of_two_hosts_calls_differ_even_where_one_comes_when_the_other_has_gone() {
    let table = table();
    let mut names = Vec::new();
    for _ in 0..3 {
        let host = come(&table);
        host.submit(0, b"");
        let task = take(&table);
        assert!(respond(&table, task.id, b"") && !respond(&table, task.id, b""));
        names.push(task.id);
        table.close(&host.slot);
        assert_eq!(host.event(), Event::Closed);
        assert!(!respond(&table, task.id, b""), "its host has gone");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn a_host_with_many_calls_leaves_others_their_turn() {
    let table = table();
    let (busy, other) = (come(&table), come(&table));
    for slot in 0..4 {
        busy.submit(slot, b"busy");
    }
    other.submit(0, b"other");
    let mut rounds = Rounds::default();
    let first: Vec<_> = (0..2).map(|_| request(&table.take(&mut rounds, true).unwrap()).to_vec()).collect();
    assert!(first.contains(&b"other".to_vec()), "{first:?}");
}

#[test]
fn hosts_hear_of_the_guests_start_and_death_whenever_they_come() {
    let table = table();
    let early = come(&table);
    assert!(table.ready(b"{}") && !table.ready(b"{}"));
    table.event(Event::Ready("{}".into()));
    let late = come(&table);
    for host in [&early, &late] {
        assert_eq!(host.event(), Event::Ready("{}".into()));
    }
    table.fail(br#"{"message":"as asked"}"#);
    for host in [&early, &late, &come(&table)] {
        assert!(matches!(host.event(), Event::Died(_)));
    }
}

#[test]
fn a_host_that_goes_is_not_waited_for_and_its_memory_is_free_when_its_calls_are_answered() {
    let table = table();
    let (gone, other) = (come(&table), come(&table));
    gone.submit(0, b"begun");
    let task = take(&table);
    assert_eq!(table.with(task.id, Connection::cancelled), Some(Some(false)));
    gone.submit(1, b"never begun");
    let TestHost { remote, slot, .. } = gone;
    drop(remote);
    table.leave(&slot);
    assert_eq!(table.with(task.id, Connection::cancelled), Some(Some(true)));
    assert_eq!(table.take(&mut Rounds::default(), false).unwrap_err(), Taken::Empty);
    let weak = Arc::downgrade(&slot);
    drop(slot);
    assert_eq!(request(&task), b"begun", "the memory stays while the guest may read it");
    assert!(respond(&table, task.id, b"too late"));
    assert!(is_freed(&weak));
    assert!(!respond(&table, task.id, b"again"));
    other.submit(0, b"goes on");
    let task = take(&table);
    assert!(respond(&table, task.id, b"answer"));
    assert_eq!(other.answer(), (0, b"answer".to_vec()));
}

#[test]
fn a_request_that_the_guest_keeps_keeps_its_hosts_memory() {
    let table = table();
    let host = come(&table);
    host.submit(0, b"kept");
    let task = take(&table);
    assert_eq!(table.with(task.id, Connection::hold), Some(true));
    assert!(respond(&table, task.id, b""));
    assert_ne!(host.completion().flags & FLAG_HELD, 0);
    table.close(&host.slot);
    let weak = Arc::downgrade(&host.slot);
    let TestHost { slot, remote, events } = host;
    drop(slot);
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), Event::Closed, "its host does not wait for it");
    assert_eq!(request(&task), b"kept");
    assert!(table.lends() && weak.strong_count() > 0);
    table.with(task.id, Connection::release);
    assert_eq!(Drainer::new(remote.block().rings()).pop().unwrap().kind, RELEASE);
    assert!(is_freed(&weak) && !table.lends());
}

#[test]
fn a_thread_that_sleeps_lets_go_of_a_host_that_has_gone_and_sees_one_that_comes() {
    let table = table();
    let thread = echo(&table);
    for _ in 0..20 {
        let host = come(&table);
        host.submit(0, b"hello");
        assert_eq!(host.answer(), (0, b"hello".to_vec()));
        let weak = Arc::downgrade(&host.slot);
        table.leave(&host.slot);
        drop(host);
        assert!(is_freed(&weak));
    }
    table.stop();
    thread.join().unwrap();
}

#[test]
fn hosts_come_and_go_under_load_and_no_call_of_those_who_stay_is_lost() {
    let table = table();
    let threads = [echo(&table), echo(&table)];
    let stays = come(&table);
    let passing = thread::spawn({
        let table = Arc::clone(&table);
        move || {
            for round in 0..200 {
                let host = come(&table);
                for slot in 0..4 {
                    host.submit(slot, b"passing");
                }
                for _ in 0..round % 5 {
                    host.completion();
                }
                table.leave(&host.slot);
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
    table.stop();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_heartbeat_is_counted_for_every_host() {
    let table = table();
    let hosts = [come(&table), come(&table)];
    table.beat();
    table.beat();
    assert!(hosts.iter().all(|host| host.remote.block().rings().header.beats.get() == 2));
}
