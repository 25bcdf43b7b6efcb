// SPDX-License-Identifier: Apache-2.0
//! Calls that are more than one request and one answer, between a host and a guest of plain Rust.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use polyloop_abi::{
    EVENT_CANCELLED, EVENT_CREDIT, EVENT_INPUT, FLAG_BYTES, FLAG_INPUT, FLAG_OUTPUT, KIND_CALL, KIND_CANCEL,
    KIND_CREDIT, KIND_END, KIND_ITEM, STATUS_OK,
};
use polyloop_connection::{Connection, Event, Nothing, Task};
use polyloop_ring::{
    Completion, Submission,
    completion::Drainer,
    control,
    entry::{FLAG_TIMED, ITEM, RESPONSE},
    submission::Submitter,
};

use polyloop_test_host::rings::{Function, Loaded, endless, join, next_completion, start};

/// The first use of slot 0: what its control entries name it by.
const FIRST: u32 = 1;

fn ready(function: Function) -> Loaded {
    let loaded = start("", function);
    assert!(matches!(loaded.event(), Event::Ready(_)));
    loaded
}

fn call(flags: u8, credit: u32) -> Submission {
    Submission { kind: KIND_CALL, flags, stream: credit, ..Submission::default() }
}

fn say(loaded: &Loaded, entry: Submission) {
    assert!(control::push(loaded.connection.block().rings(), Submission { stream: FIRST, ..entry }));
    loaded.connection.control();
}

fn send_item(loaded: &Loaded, buffer: u32, payload: &[u8]) {
    loaded.place(buffer, payload);
    let (length, deadline) = (payload.len() as u32, buffer.into());
    say(loaded, Submission { kind: KIND_ITEM, length, deadline, ..Submission::default() });
}

fn entry(kind: u8) -> Submission {
    Submission { kind, ..Submission::default() }
}

fn quiet(host: &mut Drainer<'_>) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(50) {
        if host.pop().is_some() {
            return false;
        }
        thread::yield_now();
    }
    true
}

fn number(loaded: &Loaded, item: Completion) -> u32 {
    assert_eq!(item.kind, ITEM);
    u32::from_le_bytes(loaded.payload(item).try_into().unwrap())
}

#[test]
fn a_guest_sends_as_many_items_as_it_has_credit_and_goes_on_when_it_gets_more() {
    let loaded = ready(endless);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit_as(&mut host, call(FLAG_OUTPUT, 2), b"");
    assert_eq!([0, 1].map(|_| number(&loaded, next_completion(&mut drain))), [0, 1]);
    assert!(quiet(&mut drain), "its credit is used up");
    say(&loaded, Submission { length: 8, deadline: 3, ..entry(KIND_CREDIT) });
    assert_eq!([0; 3].map(|_| number(&loaded, next_completion(&mut drain))), [2, 3, 4]);
    assert!(quiet(&mut drain));
    say(&loaded, entry(KIND_CANCEL));
    let last = next_completion(&mut drain);
    assert_eq!((last.kind, last.status), (RESPONSE, 1));
    loaded.end();
}

#[test]
fn items_wait_for_the_guest_whether_they_come_before_it_takes_the_task_or_after() {
    let loaded = ready(join);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    let first = loaded.connection.block().constants().slots;
    send_item(&loaded, first, b"early ");
    loaded.submit_as(&mut host, call(FLAG_INPUT, 0), b"");
    let back = next_completion(&mut drain);
    assert_eq!((back.kind, back.task), (RESPONSE, first), "the item is given back when it was read");
    send_item(&loaded, first, b"late");
    assert_eq!(next_completion(&mut drain).task, first);
    say(&loaded, entry(KIND_END));
    let answer = next_completion(&mut drain);
    assert_eq!(loaded.payload(answer), b"early late");
    loaded.end();
}

#[test]
fn items_that_the_guest_does_not_read_are_given_back_with_its_answer() {
    fn ignore(connection: &Connection, task: Task) {
        // The first one has come: so has the task's stream, which the answer ends.
        while connection.receive(task.id, false) == Err(Nothing::Wait) {
            thread::yield_now();
        }
        assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, b"enough"));
    }
    let loaded = ready(ignore);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    let first = loaded.connection.block().constants().slots;
    for buffer in [first, first + 4, first + 5] {
        send_item(&loaded, buffer, b"x");
    }
    loaded.submit_as(&mut host, call(FLAG_INPUT, 0), b"");
    let mut request_buffers: Vec<_> = (0..3).map(|_| next_completion(&mut drain).task).collect();
    request_buffers.sort_unstable();
    assert_eq!(request_buffers[..2], [0, first + 4], "all but the one that the guest has, and the answer");
    // What comes after the answer comes back at once.
    send_item(&loaded, first + 6, b"x");
    assert_eq!(next_completion(&mut drain).task, first + 6);
    assert!(!loaded.connection.watch(1 | 1 << 32, None, std::ptr::null_mut()), "it is over");
    // The guest lets go of the one that it has, too: a connection that lends memory is kept for
    // good.
    assert!(loaded.connection.respond(u64::from(first + 1) | 1 << 32, STATUS_OK, 0, &[]));
    assert_eq!(next_completion(&mut drain).task, first);
    loaded.end();
}

static HEARD: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn hear(_: *mut c_void, events: u32) {
    HEARD.fetch_or(events, Ordering::SeqCst);
}

#[test]
fn a_watcher_hears_of_items_credit_and_cancellation_until_the_answer() {
    fn watch(connection: &Connection, task: Task) {
        assert!(connection.watch(task.id, Some(hear), std::ptr::null_mut()));
        while connection.cancelled(task.id) == Some(false) {
            thread::yield_now();
        }
        assert!(connection.respond(task.id, STATUS_OK, 0, &[]));
        assert_eq!(connection.cancelled(task.id), None);
    }
    let loaded = ready(watch);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit_as(&mut host, call(FLAG_INPUT | FLAG_OUTPUT, 1), b"");
    let wait = |event: u32, mut again: Box<dyn FnMut()>| {
        while HEARD.load(Ordering::SeqCst) & event == 0 {
            again();
            thread::yield_now();
        }
    };
    wait(EVENT_CREDIT, Box::new(|| say(&loaded, Submission { deadline: 1, ..entry(KIND_CREDIT) })));
    wait(EVENT_INPUT, Box::new(|| say(&loaded, entry(KIND_END))));
    wait(EVENT_CANCELLED, Box::new(|| say(&loaded, entry(KIND_CANCEL))));
    assert_eq!(next_completion(&mut drain).kind, RESPONSE);
    loaded.end();
}

#[test]
fn a_call_that_is_given_up_before_it_is_taken_never_begins() {
    fn never(_: &Connection, _: Task) {
        panic!("it began");
    }
    let loaded = ready(never);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    say(&loaded, entry(KIND_CANCEL));
    loaded.submit(&mut host, 0, b"");
    let answer = next_completion(&mut drain);
    assert_eq!((answer.kind, answer.status), (RESPONSE, 2));
    assert!(String::from_utf8(loaded.payload(answer)).unwrap().contains("cancelled"));
    loaded.end();
}

#[test]
fn the_context_goes_there_and_back() {
    fn answer(connection: &Connection, task: Task) {
        // SAFETY: valid until the answer.
        let context = unsafe { std::slice::from_raw_parts(task.context, task.context_length as usize) };
        assert!(!connection.annotate(task.id, &[b' '; 5000]), "it is too long");
        assert!(connection.annotate(task.id, context));
        assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, b"value"));
    }
    let loaded = ready(answer);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    let context = br#"{"trace":"1"}"#;
    loaded.place(0, &[b"request".as_slice(), context].concat());
    loaded.submit_as(
        &mut host,
        Submission { kind: KIND_CALL, stream: (context.len() as u32) << 16, ..Submission::default() },
        b"request",
    );
    let back = next_completion(&mut drain);
    let both = Completion { length: back.length + back.stream, ..back };
    assert_eq!((back.length, loaded.payload(both)), (5, [b"value".as_slice(), context].concat()));
    loaded.end();
}

#[test]
fn guests_that_wait_hear_of_the_end_of_their_host() {
    let loaded = ready(endless);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    loaded.submit_as(&mut host, call(FLAG_OUTPUT, 1), b"");
    assert_eq!(number(&loaded, next_completion(&mut drain)), 0);
    loaded.connection.abandon();
    loaded.end();
}

#[test]
fn a_timed_call_tells_when_it_was_taken_and_no_other_does() {
    fn answer(connection: &Connection, task: Task) {
        assert_eq!(task.submission.flags, 0, "guests do not see what is the host's own");
        assert!(connection.respond(task.id, STATUS_OK, 0, &[]));
    }
    let loaded = ready(answer);
    let rings = loaded.connection.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    let mut taken = |flags| {
        loaded.submit_as(&mut host, call(flags, 0), b"");
        next_completion(&mut drain).aux
    };
    let (first, untimed, second) = (taken(FLAG_TIMED), taken(0), taken(FLAG_TIMED));
    assert!(first > 0 && untimed == 0 && second >= first);
    loaded.end();
}
