// SPDX-License-Identifier: Apache-2.0
//! A connection between a host and a guest that are both plain Rust: no loop, no library.

use std::sync::Arc;

use polyloop_abi::{FLAG_BYTES, STATUS_ERROR, STATUS_OK};
use polyloop_connection::{Connection, ErrorObject, Event, Task};
use polyloop_ring::{
    Taken, Taker,
    completion::Drainer,
    entry::{FLAG_HELD, FLAG_OWN, LOG, RELEASE, RESPONSE, SEAL},
    submission::Submitter,
};

use polyloop_test_host::rings::{next_completion, request, start};

/// Answers with as many bytes as the request says in decimal.
fn fill(connection: &Connection, task: Task) {
    let count: usize = std::str::from_utf8(request(&task)).unwrap().parse().unwrap();
    assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, &vec![0x5a; count]));
}

#[test]
fn responses_of_every_size_come_in_their_slot_in_a_shared_slab_or_in_one_of_their_own() {
    let loaded = start("", fill);
    assert_eq!(loaded.event(), Event::Ready(r#"{"methods":[]}"#.into()));
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    for (count, slab, own) in [
        (0, false, false),
        (1024, false, false),
        (1025, true, false),
        (262_144, true, false),
        (262_145, true, true),
    ] {
        loaded.submit(&mut submitter, 0, count.to_string().as_bytes());
        let answer = next_completion(&mut drainer);
        assert_eq!((answer.kind, answer.status, answer.length), (RESPONSE, 0, count));
        assert_eq!((answer.slab != 0, answer.flags & FLAG_OWN != 0), (slab, own), "{count} bytes");
        assert!(loaded.payload(answer).iter().all(|byte| *byte == 0x5a));
    }
    loaded.end();
}

#[test]
fn a_full_slab_is_sealed_with_the_count_of_its_responses_and_that_is_said_before_the_next_response() {
    let loaded = start("", fill);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    let mut first = 0;
    for _ in 0..4 {
        loaded.submit(&mut submitter, 1, b"262144");
        first = next_completion(&mut drainer).slab;
    }
    loaded.submit(&mut submitter, 1, b"262144");
    let seal = next_completion(&mut drainer);
    assert_eq!((seal.kind, seal.slab, seal.aux), (SEAL, first, 4));
    assert_ne!(next_completion(&mut drainer).slab, first);
    loaded.end();
}

#[test]
fn a_response_beyond_the_limit_becomes_an_error_of_the_hosts_own() {
    let loaded = start("", fill);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit(&mut submitter, 0, b"1048577");
    let answer = next_completion(&mut drainer);
    let text = String::from_utf8(loaded.payload(answer)).unwrap();
    assert_eq!(answer.status, 2);
    assert!(text.contains("too-large") && text.contains("maxPayload is 1048576"), "{text}");
    loaded.end();
}

#[test]
fn a_task_that_is_answered_twice_is_counted_and_answered_once() {
    fn twice(connection: &Connection, task: Task) {
        assert!(connection.respond(task.id, STATUS_ERROR, 0, b"{}"));
        assert!(!connection.respond(task.id, STATUS_OK, 0, b"again"));
    }
    let loaded = start("", twice);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit(&mut submitter, 3, b"");
    assert_eq!(next_completion(&mut drainer).status, 1);
    let connection = Arc::clone(&loaded.connection);
    loaded.end();
    assert_eq!(connection.block().rings().header.duplicates.get(), 1);
    assert_eq!(drainer.pop(), None);
}

#[test]
fn a_held_request_is_marked_in_its_response_and_released_after_it() {
    fn keep(connection: &Connection, task: Task) {
        assert!(connection.hold(task.id));
        connection.respond(task.id, STATUS_OK, 0, b"");
        connection.release(task.id);
        connection.release(task.id);
    }
    let loaded = start("", keep);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit(&mut submitter, 2, b"");
    let answer = next_completion(&mut drainer);
    assert_eq!((answer.kind, answer.flags & FLAG_HELD), (RESPONSE, FLAG_HELD));
    let release = next_completion(&mut drainer);
    assert_eq!((release.kind, release.task), (RELEASE, 2));
    assert!(!loaded.connection.lends());
    loaded.end();
    assert_eq!(drainer.pop(), None, "a second release says nothing");
}

#[test]
fn what_is_submitted_before_the_unload_is_answered() {
    let loaded = start("", fill);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    for slot in 0..4 {
        loaded.submit(&mut submitter, slot, b"1");
    }
    loaded.end();
    assert_eq!(std::iter::from_fn(|| drainer.pop()).count(), 4);
}

#[test]
fn lines_of_log_are_announced_in_the_ring_before_the_response_they_precede() {
    fn print(connection: &Connection, task: Task) {
        connection.log(1, b"one\n");
        connection.log(2, b"two\n");
        connection.respond(task.id, STATUS_OK, 0, b"");
    }
    let loaded = start("", print);
    loaded.event();
    let rings = loaded.connection.block().rings();
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit(&mut submitter, 0, b"");
    assert_eq!(next_completion(&mut drainer).kind, LOG);
    assert_eq!(next_completion(&mut drainer).kind, RESPONSE);
    assert_eq!(loaded.connection.take_log().len(), 2);
    loaded.end();
}

#[test]
fn a_guest_that_fails_to_start_is_told_with_its_rc_and_reason() {
    let Event::Failed(7, error) = start("fail", fill).event() else { panic!("not failed with 7") };
    assert!(error.0.contains("as asked"));
    let Event::Failed(1, error) = start("panic", fill).event() else { panic!("not failed") };
    assert!(error.0.contains("panicked: as asked"), "{}", error.0);
    let Event::Failed(1, error) = start("silent", fill).event() else { panic!("not failed") };
    assert!(error.0.contains("without a call of ready()"), "{}", error.0);
    let long = start("long", fill);
    let Event::Failed(1, error) = long.event() else { panic!("not failed") };
    assert!(error.0.contains("the manifest has 16777217 bytes"), "{}", error.0);
    // Its threads were told to leave, and have.
    assert!(matches!(long.connection.take(&mut Taker::default(), true), Err(Taken::Stopped)));
}

#[test]
fn the_death_of_a_guest_is_told_once() {
    let loaded = start("", fill);
    loaded.event();
    loaded.connection.fail(br#"{"type":"Crash","message":"first"}"#);
    loaded.connection.fail(b"not json");
    assert_eq!(loaded.event(), Event::Died(ErrorObject(r#"{"type":"Crash","message":"first"}"#.into())));
    loaded.end();
}
