// SPDX-License-Identifier: Apache-2.0
//! Both ends of a guest in a process of its own, here in one process: the host has a
//! `RemoteConnection`, the guest a connection that is attached to the same files, and neither uses
//! a mapping of the other.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    slice,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    thread,
};

use polyloop_abi::{
    FLAG_BYTES, FLAG_INPUT, FLAG_OUTPUT, KIND_CALL, KIND_CANCEL, KIND_CREDIT, KIND_END, KIND_ITEM,
    STATUS_ERROR, STATUS_OK,
};
use polyloop_connection::{Connection, Event, Host, Nothing, RemoteConnection, Task};
use polyloop_ring::{
    Completion, Layout, Submission, Taken, Taker,
    arena::GuestEnd,
    completion::{self, Drainer},
    control,
    entry::{FLAG_HELD, FLAG_OWN, ITEM, RELEASE, RESPONSE, SEAL},
    layout::{REQUEST_BYTES, RESPONSE_BYTES, VERSION},
    region::{Access, Block, Mapping, ParkingWords, file},
    request_heap::{Allocation, RequestHeap},
    slab::{SHARED_LIMIT, SIZES},
    submission::{self, Submitter},
};

use polyloop_test_host::rings::{
    Function, Loaded, PATIENCE, PAYLOAD, attach, endless, join, next_completion, place, request, start_in,
};

/// The first use of a slot: what its control entries name it by.
const FIRST: u32 = 1;

/// A host, and its guest elsewhere.
struct Pair {
    remote: RemoteConnection,
    guest: Loaded,
    /// Slabs that responses share, lent once for all of them.
    shared: RefCell<HashMap<u32, (*mut u8, usize)>>,
}

/// A pair whose control ring nobody acts on but guest threads that pass by.
fn unattended(function: Function) -> Pair {
    let remote = RemoteConnection::new(4, RequestHeap::new().unwrap()).unwrap();
    let guest = start_in("", function, |host| attach(&remote, host));
    remote.close_files();
    assert!(remote.files().is_none());
    assert!(matches!(guest.event(), Event::Ready(_)));
    Pair { remote, guest, shared: RefCell::default() }
}

/// A pair with a thread that acts on the control ring, which lives as long as the process, as that
/// of a guest does.
fn pair(function: Function) -> Pair {
    let pair = unattended(function);
    let connection = Arc::clone(&pair.guest.connection);
    thread::spawn(move || connection.act());
    pair
}

impl Pair {
    fn ends(&self) -> (Submitter<'_>, Drainer<'_>) {
        let rings = self.remote.block().rings();
        (Submitter::new(rings), Drainer::new(rings))
    }

    /// Puts a payload into its request buffer, or where larger ones lie: then its address, for as
    /// long as it is kept.
    fn place(&self, buffer: u32, payload: &[u8]) -> Option<Allocation> {
        if payload.len() > REQUEST_BYTES {
            return Some(self.remote.place(payload).unwrap());
        }
        place(self.remote.block(), buffer, payload);
        None
    }

    #[must_use]
    fn submit(&self, host: &mut Submitter<'_>, call: Submission, payload: &[u8]) -> Option<Allocation> {
        let allocation = self.place(call.task, payload);
        let address = allocation.as_ref().map_or(0, Allocation::address);
        let call = Submission { kind: KIND_CALL, length: payload.len() as u32, address, ..call };
        if host.push(call).unwrap() {
            submission::ring(self.remote.block().rings().header);
        }
        allocation
    }

    /// Writes an entry, and rings only if somebody says that it sleeps.
    fn say(&self, entry: Submission) {
        let rings = self.remote.block().rings();
        assert!(control::push(rings, Submission { stream: FIRST, ..entry }));
        control::ring(rings.header);
    }

    /// Sends an item of slot 0's request stream.
    #[must_use]
    fn send(&self, buffer: u32, payload: &[u8]) -> Option<Allocation> {
        let allocation = self.place(buffer, payload);
        let address = allocation.as_ref().map_or(0, Allocation::address);
        let (length, deadline) = (payload.len() as u32, buffer.into());
        self.say(Submission { length, address, deadline, ..entry(KIND_ITEM) });
        allocation
    }

    /// What a completion carries, read through the host's mappings.
    fn payload(&self, c: Completion) -> Vec<u8> {
        let (len, bytes) = (c.length as usize, (c.length + c.stream) as usize);
        let (start, lent) = match c.slab {
            0 => (self.remote.block().response(c.task), RESPONSE_BYTES),
            slab if c.flags & FLAG_OWN != 0 => self.remote.responses().lend(slab, bytes).unwrap(),
            slab => {
                let (_, long) = SIZES.iter().find(|(most, _)| bytes <= *most).unwrap();
                let lend = || self.remote.responses().lend(slab, *long).unwrap();
                *self.shared.borrow_mut().entry(slab).or_insert_with(lend)
            }
        };
        let range = c.offset as usize..c.offset as usize + len;
        // SAFETY: in a request buffer, or lent, and the guest writes no more where it has
        // published.
        let read = unsafe { slice::from_raw_parts(start, lent).get(range) }.unwrap().to_vec();
        if c.flags & FLAG_OWN != 0 {
            self.remote.responses().give_back(c.slab, bytes);
        }
        read
    }

    /// The host is done with all that a shared slab held.
    fn give_back(&self, slab: u32) {
        let (_, bytes) = self.shared.borrow_mut().remove(&slab).unwrap();
        self.remote.responses().give_back(slab, bytes);
    }

    fn end(&self) {
        self.guest.end();
    }
}

fn entry(kind: u8) -> Submission {
    Submission { kind, ..Submission::default() }
}

fn call(task: u32, flags: u8, credit: u32) -> Submission {
    Submission { task, flags, stream: credit, ..Submission::default() }
}

/// Bytes that are nowhere alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Answers with the request.
fn echo(connection: &Connection, task: Task) {
    assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, request(&task)));
}

#[test]
fn requests_and_responses_of_every_size_cross_from_one_mapping_to_the_other() {
    let pair = pair(echo);
    let (mut host, mut drain) = pair.ends();
    for (len, slab, own) in [
        (0, false, false),
        (1, false, false),
        (RESPONSE_BYTES, false, false),
        (RESPONSE_BYTES + 1, true, false),
        (REQUEST_BYTES, true, false),
        (REQUEST_BYTES + 1, true, false),
        (SHARED_LIMIT, true, false),
        (SHARED_LIMIT + 1, true, true),
        (PAYLOAD, true, true),
    ] {
        let sent = pattern(len);
        let allocation = pair.submit(&mut host, call(0, 0, 0), &sent);
        assert_eq!(allocation.is_some(), len > REQUEST_BYTES);
        let answer = next_completion(&mut drain);
        assert_eq!((answer.kind, answer.task, answer.status), (RESPONSE, 0, 0));
        assert_eq!((answer.slab != 0, answer.flags & FLAG_OWN != 0), (slab, own), "{len} bytes");
        assert!(pair.payload(answer) == sent, "{len} bytes");
    }
    pair.end();
}

#[test]
fn slabs_that_the_host_gives_back_serve_again_whether_one_response_had_them_or_several() {
    let pair = pair(echo);
    let (mut host, mut drain) = pair.ends();
    let mut calls = |len: usize, seed: u8| {
        let sent = vec![seed; len];
        let _allocation = pair.submit(&mut host, call(0, 0, 0), &sent);
        let mut answer = next_completion(&mut drain);
        let sealed = (answer.kind == SEAL).then_some((answer.slab, answer.aux));
        if sealed.is_some() {
            answer = next_completion(&mut drain);
        }
        assert!(pair.payload(answer) == sent, "{len} bytes of {seed}");
        (answer.slab, sealed)
    };
    let (large, _) = calls(PAYLOAD, 1);
    assert_eq!(calls(PAYLOAD, 2), (large, None));
    let (shared, _) = calls(SHARED_LIMIT, 3);
    for seed in 4..7 {
        assert_eq!(calls(SHARED_LIMIT, seed), (shared, None));
    }
    let (next, sealed) = calls(SHARED_LIMIT, 7);
    assert_eq!((next != shared, sealed), (true, Some((shared, 4))));
    pair.give_back(shared);
    assert_eq!(calls(PAYLOAD, 8), (shared, None));
    pair.end();
}

#[test]
fn a_guest_reads_a_large_request_that_it_holds_until_it_lets_go() {
    fn keep(connection: &Connection, task: Task) {
        assert!(connection.hold(task.id));
        assert!(connection.respond(task.id, STATUS_OK, 0, &[]));
        assert!(request(&task) == pattern(PAYLOAD));
        connection.release(task.id);
    }
    let pair = pair(keep);
    let (mut host, mut drain) = pair.ends();
    let allocation = pair.submit(&mut host, call(2, 0, 0), &pattern(PAYLOAD));
    let answer = next_completion(&mut drain);
    assert_eq!((answer.kind, answer.flags & FLAG_HELD), (RESPONSE, FLAG_HELD));
    let release = next_completion(&mut drain);
    assert_eq!((release.kind, release.task), (RELEASE, 2));
    drop(allocation);
    pair.end();
}

#[test]
fn a_guest_elsewhere_sends_as_many_items_as_it_has_credit_and_goes_on_when_it_gets_more() {
    let pair = pair(endless);
    let (mut host, mut drain) = pair.ends();
    let _none = pair.submit(&mut host, call(0, FLAG_OUTPUT, 2), b"");
    let mut number = || {
        let item = next_completion(&mut drain);
        assert_eq!(item.kind, ITEM);
        u32::from_le_bytes(pair.payload(item).try_into().unwrap())
    };
    assert_eq!([0, 1].map(|_| number()), [0, 1]);
    pair.say(Submission { length: 8, deadline: 3, ..entry(KIND_CREDIT) });
    assert_eq!([0; 3].map(|_| number()), [2, 3, 4]);
    pair.say(entry(KIND_CANCEL));
    let last = next_completion(&mut drain);
    assert_eq!((last.kind, last.status), (RESPONSE, 1), "no item is beyond its credit");
    pair.end();
}

#[test]
fn large_items_take_credit_of_bytes_whatever_is_left_of_that_of_items() {
    fn grow(connection: &Connection, task: Task) {
        let mut sent = 0;
        while connection.send(task.id, FLAG_BYTES, &pattern((sent + 1) * 150_000), sent == 4) == Ok(()) {
            sent += 1;
        }
        assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, &[sent as u8]));
    }
    let pair = pair(grow);
    let (mut host, mut drain) = pair.ends();
    let _none = pair.submit(&mut host, call(0, FLAG_OUTPUT, 64), b"");
    let mut item = |size: usize| {
        let item = next_completion(&mut drain);
        assert_eq!((item.kind, item.length as usize), (ITEM, size));
        assert_eq!(item.flags & FLAG_OWN != 0, size > SHARED_LIMIT);
        assert!(pair.payload(item) == pattern(size));
    };
    // The fourth goes beyond the window, as one may; the fifth waits; the sixth finds too little
    // once more.
    for size in [150_000, 300_000, 450_000, 600_000] {
        item(size);
    }
    pair.say(Submission { length: 1_200_000, ..entry(KIND_CREDIT) });
    item(750_000);
    let answer = next_completion(&mut drain);
    assert_eq!((answer.kind, pair.payload(answer)), (RESPONSE, vec![5]));
    pair.end();
}

#[test]
fn items_small_and_large_reach_a_guest_elsewhere_whether_they_come_before_its_task_or_after() {
    let pair = pair(join);
    let (mut host, mut drain) = pair.ends();
    let first = pair.remote.block().constants().slots;
    let (small, large) = (pattern(10), pattern(300_000));
    let early = [pair.send(first, &small), pair.send(first + 4, &large)];
    let _none = pair.submit(&mut host, call(0, FLAG_INPUT, 0), b"");
    assert_eq!([0; 2].map(|_| next_completion(&mut drain).task), [first, first + 4], "they are given back");
    drop(early);
    let late = pair.send(first, &large);
    assert_eq!(next_completion(&mut drain).task, first);
    drop(late);
    pair.say(entry(KIND_END));
    let answer = next_completion(&mut drain);
    assert!(pair.payload(answer) == [small, large.clone(), large].concat());
    pair.end();
}

#[test]
fn a_cancellation_reaches_a_call_that_waits_and_keeps_one_that_is_queued_from_beginning() {
    fn obey(connection: &Connection, task: Task) {
        assert_eq!(task.submission.task, 0, "the other one never begins");
        connection.send(task.id, FLAG_BYTES, b"begun", true).unwrap();
        assert_eq!(connection.receive(task.id, true), Err(Nothing::Cancelled));
        assert!(connection.respond(task.id, STATUS_ERROR, 0, br#"{"code":"cancelled"}"#));
    }
    let pair = pair(obey);
    let (mut host, mut drain) = pair.ends();
    let _none = pair.submit(&mut host, call(0, FLAG_INPUT | FLAG_OUTPUT, 1), b"");
    assert_eq!(next_completion(&mut drain).kind, ITEM);
    let _none = pair.submit(&mut host, call(1, 0, 0), b"");
    pair.say(Submission { task: 1, ..entry(KIND_CANCEL) });
    pair.say(entry(KIND_CANCEL));
    let running = next_completion(&mut drain);
    assert_eq!((running.kind, running.task, running.status), (RESPONSE, 0, 1));
    let queued = next_completion(&mut drain);
    assert_eq!((queued.kind, queued.task, queued.status), (RESPONSE, 1, 2));
    assert!(String::from_utf8(pair.payload(queued)).unwrap().contains("before it began"));
    pair.end();
}

#[test]
fn a_guest_thread_that_answers_empties_a_control_ring_that_is_filled_beyond_half() {
    /// Answers with how many items it may send. If it may send none, answering is all that it does.
    fn spend(connection: &Connection, task: Task) {
        let streams = task.submission.flags & FLAG_OUTPUT != 0;
        let sends = |_: &u8| streams && connection.send(task.id, FLAG_BYTES, b"x", false).is_ok();
        let sent = (0..=u8::MAX).take_while(sends).count();
        assert!(connection.respond(task.id, STATUS_OK, FLAG_BYTES, &[sent as u8]));
    }
    let pair = unattended(spend);
    let (mut host, mut drain) = pair.ends();
    let rings = pair.remote.block().rings();
    for at in 0..rings.control.len() / 2 {
        let items = u64::from(at < 3);
        pair.say(Submission { task: 1, deadline: items, ..entry(KIND_CREDIT) });
    }
    let mut answer = |flags| {
        let _none = pair.submit(&mut host, call(u32::from(flags != 0), flags, 0), b"");
        std::iter::from_fn(|| Some(next_completion(&mut drain))).find(|answer| answer.kind == RESPONSE)
    };
    answer(0).unwrap();
    assert!(control::waiting(rings.header), "it is full to the half");
    pair.say(Submission { task: 1, ..entry(KIND_CREDIT) });
    answer(0).unwrap();
    assert!(!control::waiting(rings.header));
    assert_eq!(pair.payload(answer(FLAG_OUTPUT).unwrap()), [3], "what it said was acted on");
    pair.end();
}

#[test]
fn guest_threads_look_at_the_control_ring_before_they_wait() {
    fn look(connection: &Connection, task: Task) {
        // Nobody else acts on the ring: were it not looked at, these would wait for ever.
        connection.send(task.id, FLAG_BYTES, b"begun", true).unwrap();
        let early = connection.receive(task.id, true).unwrap();
        assert!(connection.respond(early.id, STATUS_OK, 0, &[]));
        let late = loop {
            match connection.receive(task.id, false) {
                Ok(item) => break item,
                Err(why) => assert_eq!(why, Nothing::Wait),
            }
            thread::yield_now();
        };
        assert!(connection.respond(late.id, STATUS_OK, 0, &[]));
        while connection.cancelled(task.id) == Some(false) {
            thread::yield_now();
        }
        assert!(connection.respond(task.id, STATUS_OK, 0, &[]));
    }
    let pair = unattended(look);
    let (mut host, mut drain) = pair.ends();
    let first = pair.remote.block().constants().slots;
    // The call brings no credit; what is said before it is taken waits for it.
    pair.say(Submission { deadline: 1, ..entry(KIND_CREDIT) });
    assert!(pair.send(first, b"early").is_none());
    let _none = pair.submit(&mut host, call(0, FLAG_INPUT | FLAG_OUTPUT, 0), b"");
    assert_eq!(next_completion(&mut drain).kind, ITEM);
    assert_eq!(next_completion(&mut drain).task, first);
    assert!(pair.send(first, b"late").is_none());
    assert_eq!(next_completion(&mut drain).task, first);
    pair.say(entry(KIND_CANCEL));
    assert_eq!(next_completion(&mut drain).task, 0);
    pair.end();
}

/// A host whose loop sleeps until it is woken.
struct Bell(Sender<()>);

impl Host for Bell {
    fn wake(&self) {
        self.0.send(()).unwrap();
    }
    fn event(&self, _: Event) {}
}

#[test]
fn each_end_wakes_the_other_where_it_sleeps_and_the_hosts_stop_ends_the_guests_thread() {
    let remote = RemoteConnection::new(1, RequestHeap::new().unwrap()).unwrap();
    let (bell, rung) = channel();
    let connection = attach(&remote, Box::new(Bell(bell)));
    let guest = thread::spawn(move || {
        let mut taker = Taker::without_spin();
        let task = connection.take(&mut taker, true).unwrap();
        assert!(connection.respond(task.id, STATUS_OK, 0, &[]));
        assert_eq!(connection.take(&mut taker, true).unwrap_err(), Taken::Stopped);
        connection.block().rings().header.wakeups.get()
    });
    let rings = remote.block().rings();
    let (mut host, mut drain) = (Submitter::new(rings), Drainer::new(rings));
    assert!(completion::arm(rings.header));
    if host.push(Submission { kind: KIND_CALL, ..Submission::default() }).unwrap() {
        submission::ring(rings.header);
    }
    rung.recv_timeout(PATIENCE).unwrap();
    assert_eq!(drain.pop().map(|answer| answer.kind), Some(RESPONSE));
    remote.stop();
    assert_eq!((guest.join().unwrap(), rings.header.wakeups.get()), (1, 1));
}

fn refusal<T>(made: io::Result<T>) -> String {
    made.err().expect("it is refused").to_string()
}

#[test]
fn a_guest_attaches_to_no_file_that_is_too_short_or_of_another_version() {
    for bytes in [0, 4096] {
        let short = file(c"short", bytes).unwrap();
        assert!(refusal(GuestEnd::attach(short.as_fd())).contains("too short"), "{bytes} bytes");
    }
    let empty = file(c"empty", 0).unwrap();
    assert!(refusal(Block::attach(empty.as_fd())).contains("too short"));
    assert!(refusal(Mapping::of(empty.as_fd(), Access::Read)).contains("too short"));

    let (block, shared) = Block::shared(Layout::new(4)).unwrap();
    assert_eq!(Block::attach(shared.as_fd()).unwrap().constants(), block.constants());
    // A block's beginning, whose rest is missing.
    let short = file(c"short", 4096).unwrap();
    let beginning = Mapping::of(short.as_fd(), Access::Write).unwrap();
    // SAFETY: both mappings are as long, and nobody else has them.
    unsafe { beginning.as_ptr().copy_from_nonoverlapping(block.memory().as_ptr(), 4096) };
    assert!(refusal(Block::attach(short.as_fd())).contains("different versions"));
    // The first words are what the file is, its version, and its slots.
    for (word, value) in [(0, 7), (1, VERSION + 1), (2, 0), (2, 3), (2, u32::MAX), (10, 4096)] {
        // SAFETY: within the header; nobody else has the block.
        let at = unsafe { block.memory().as_ptr().add(word * 4).cast::<[u8; 4]>() };
        // SAFETY: as above.
        let before = unsafe { at.replace(u32::to_ne_bytes(value)) };
        assert!(refusal(Block::attach(shared.as_fd())).contains("different versions"), "{word}: {value}");
        // SAFETY: as above.
        unsafe { at.write(before) };
    }
    assert!(Block::attach(shared.as_fd()).is_ok());
}

#[test]
fn memory_whose_length_others_can_change_is_refused_by_hosts_and_guests() {
    let seals = [libc::F_SEAL_SHRINK, libc::F_SEAL_GROW, libc::F_SEAL_SEAL];
    let of = |seals: i32| {
        // SAFETY: system calls on a descriptor of our own.
        unsafe {
            let made = libc::memfd_create(c"open".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            assert!(made >= 0 && libc::ftruncate(made, 1 << 20) == 0);
            assert_eq!(libc::fcntl(made, libc::F_ADD_SEALS, seals), 0);
            OwnedFd::from_raw_fd(made)
        }
    };
    for missing in seals {
        // Who seals the seals alone could not add the others any more.
        let open = of(seals.iter().filter(|seal| **seal != missing).fold(0, |all, seal| all | seal));
        for why in [
            refusal(ParkingWords::attach(open.as_fd())),
            refusal(Block::attach(open.as_fd())),
            refusal(GuestEnd::attach(open.as_fd())),
            refusal(Mapping::of(open.as_fd(), Access::Read)),
        ] {
            assert!(why.contains("is not sealed"), "{why}");
        }
    }
    let whole = of(seals.iter().fold(0, |all, seal| all | seal));
    assert!(ParkingWords::attach(whole.as_fd()).is_ok());
    // What is no file in memory has no seals.
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(refusal(Mapping::of(file.as_fd(), Access::Read)).contains("is not sealed"));
}
