// SPDX-License-Identifier: Apache-2.0
//! Loom models: every interleaving of the protocols, within loom's bound on preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p polyloop-ring --release`. A lost wake-up shows as loom's
//! report of a deadlock.

use loom::{
    cell::UnsafeCell,
    model::Builder,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::{
    Rings,
    completion::{self, Completer, Drainer},
    control,
    entry::{Completion, Entry, Submission},
    layout::{CachePadded, Constants, Header},
    memory::chunks,
    submission::{self, Full, Submitter},
    sync::{AtomicU32, Ordering},
    take::{SubmissionSource, Taken, Taker},
    tasks::Tasks,
    versioned_list::{Seen, VersionedList},
};

struct Memory {
    header: Header,
    sq: Vec<Entry>,
    cq: Vec<Entry>,
    control: Vec<Entry>,
}

impl Memory {
    fn new(entries: usize) -> Arc<Self> {
        let ring = || (0..entries).map(|_| Entry::default()).collect();
        Arc::new(Self { header: Header::new(Constants::default()), sq: ring(), cq: ring(), control: ring() })
    }

    fn rings(&self) -> Rings<'_> {
        Rings {
            header: &self.header,
            parking: &self.header,
            sq: &self.sq,
            cq: &self.cq,
            control: &self.control,
        }
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn task(number: u32) -> Submission {
    Submission { task: number, kind: 1, length: number, ..Submission::default() }
}

fn submit(memory: &Memory, host: &mut Submitter<'_>, number: u32) {
    if host.push(task(number)).unwrap() {
        submission::ring(&memory.header);
    }
}

/// Takes tasks until the stop; their numbers.
fn serve(memory: &Memory) -> Vec<u32> {
    let (mut taker, mut taken) = (Taker::default(), Vec::new());
    loop {
        match taker.take(memory.rings(), true) {
            Taken::Task(task) => taken.push(task.task),
            Taken::Stopped => return taken,
            Taken::Empty => unreachable!("a thread that waits"),
        }
    }
}

#[test]
fn a_sleeping_poller_misses_no_submission() {
    check(3, || {
        let memory = Memory::new(2);
        let guest = thread::spawn({
            let memory = Arc::clone(&memory);
            move || {
                let mut taker = Taker::default();
                for number in [1, 2] {
                    assert_eq!(taker.take(memory.rings(), true), Taken::Task(task(number)));
                }
            }
        });
        let mut host = Submitter::new(memory.rings());
        submit(&memory, &mut host, 1);
        submit(&memory, &mut host, 2);
        guest.join().unwrap();
    });
}

#[test]
fn two_guest_threads_take_each_task_once_and_both_hear_the_stop() {
    check(2, || {
        let memory = Memory::new(2);
        let guests: Vec<_> = (0..2)
            .map(|_| {
                let memory = Arc::clone(&memory);
                thread::spawn(move || serve(&memory))
            })
            .collect();
        let mut host = Submitter::new(memory.rings());
        submit(&memory, &mut host, 1);
        submission::stop(&memory.header);
        let taken: Vec<u32> = guests.into_iter().flat_map(|guest| guest.join().unwrap()).collect();
        assert_eq!(taken, [1]);
    });
}

/// Two guest threads, and a task for each that ends only once both have begun.
fn two_that_meet(memory: &Arc<Memory>) -> Vec<thread::JoinHandle<()>> {
    let done = Arc::new((Mutex::new(0), Condvar::new()));
    let guests = (0..2).map(|_| thread::spawn(meet(memory, &done))).collect();
    let mut host = Submitter::new(memory.rings());
    submit(memory, &mut host, 1);
    submit(memory, &mut host, 2);
    guests
}

#[test]
fn a_task_behind_a_busy_poller_is_taken_by_a_follower_that_the_host_wakes() {
    check(2, || {
        let memory = Memory::new(2);
        let guests = two_that_meet(&memory);
        // What a host does before it sleeps, and at every turn of its loop.
        while !submission::is_empty(&memory.header) {
            submission::help(&memory.header, &memory.header);
            thread::yield_now();
        }
        for guest in guests {
            guest.join().unwrap();
        }
    });
}

#[test]
fn a_host_that_sleeps_after_one_look_leaves_no_task_behind_a_busy_poller() {
    check(2, || {
        let memory = Memory::new(2);
        let guests = two_that_meet(&memory);
        // No completion comes before both functions have begun: the host sleeps.
        assert!(completion::arm(&memory.header));
        submission::help(&memory.header, &memory.header);
        for guest in guests {
            guest.join().unwrap();
        }
    });
}

/// A thread that takes a task whose function ends once two have begun.
fn meet(memory: &Arc<Memory>, begun: &Arc<(Mutex<u32>, Condvar)>) -> impl FnOnce() + use<> {
    let (memory, done) = (Arc::clone(memory), Arc::clone(begun));
    move || {
        assert!(matches!(Taker::default().take(memory.rings(), true), Taken::Task(_)));
        let mut begun = done.0.lock().unwrap();
        *begun += 1;
        done.1.notify_all();
        while *begun < 2 {
            begun = done.1.wait(begun).unwrap();
        }
    }
}

#[test]
fn a_full_ring_refuses_and_takes_again_once_an_entry_was_taken() {
    check(3, || {
        let memory = Memory::new(1);
        let guest = thread::spawn({
            let memory = Arc::clone(&memory);
            move || serve(&memory)
        });
        let mut host = Submitter::new(memory.rings());
        for number in 1..=3 {
            loop {
                match host.push(task(number)) {
                    Ok(asleep) => {
                        if asleep {
                            submission::ring(&memory.header);
                        }
                        break;
                    }
                    Err(Full) => thread::yield_now(),
                }
            }
        }
        submission::stop(&memory.header);
        assert_eq!(guest.join().unwrap(), [1, 2, 3]);
    });
}

#[test]
fn a_sleeping_host_misses_no_completion() {
    check(3, || {
        let memory = Memory::new(4);
        let bell = Arc::new((Mutex::new(false), Condvar::new()));
        let completer = Arc::new(Completer::default());
        let guests: Vec<_> = (0..2)
            .map(|number| {
                let (memory, bell, completer) =
                    (Arc::clone(&memory), Arc::clone(&bell), Arc::clone(&completer));
                thread::spawn(move || {
                    let answer = Completion { task: number, length: number, ..Completion::default() };
                    if completer.push(memory.rings(), answer).unwrap() {
                        *bell.0.lock().unwrap() = true;
                        bell.1.notify_one();
                    }
                })
            })
            .collect();
        let (mut host, mut drained) = (Drainer::new(memory.rings()), Vec::new());
        while drained.len() < 2 {
            while let Some(answer) = host.pop() {
                assert_eq!(answer.task, answer.length);
                drained.push(answer.task);
            }
            if drained.len() < 2 && completion::arm(&memory.header) {
                let mut rung = bell.0.lock().unwrap();
                while !*rung {
                    rung = bell.1.wait(rung).unwrap();
                }
                *rung = false;
            }
            completion::disarm(&memory.header);
        }
        drained.sort_unstable();
        assert_eq!(drained, [0, 1]);
        for guest in guests {
            guest.join().unwrap();
        }
    });
}

#[test]
fn an_overfull_completion_ring_refuses_and_is_empty_after_a_drain() {
    check(3, || {
        let memory = Memory::new(1);
        let completer = Completer::default();
        let mut host = Drainer::new(memory.rings());
        assert_eq!(host.pop(), None);
        assert!(completer.push(memory.rings(), Completion::default()).is_ok());
        assert!(completer.push(memory.rings(), Completion::default()).is_err());
        assert!(host.pop().is_some());
        assert_eq!(host.pop(), None);
        assert!(completer.push(memory.rings(), Completion::default()).is_ok());
    });
}

#[test]
fn a_held_request_is_released_once_whichever_of_answer_and_release_is_first() {
    check(3, || {
        let tasks = Arc::new(Tasks::new(1));
        let task = tasks.take(0).unwrap();
        assert!(tasks.hold(task));
        let releasing = thread::spawn({
            let tasks = Arc::clone(&tasks);
            move || tasks.release(task).is_some()
        });
        let held = tasks.answer(task).unwrap().held;
        assert!(tasks.answer(task).is_none());
        // The host waits for a release exactly if the answer said so.
        assert_eq!(releasing.join().unwrap(), held);
        assert!(tasks.take(0).is_some());
    });
}

/// Says something in the control ring, as the host does; if that is full, waits for who acts on it.
fn say(memory: &Memory, number: u32) {
    while !control::push(memory.rings(), task(number)) {
        thread::yield_now();
    }
    control::ring(&memory.header);
}

/// Acts on what waits, as threads of the guest do: under a lock. How much has been acted on.
fn act(memory: &Memory, acted: &Mutex<Vec<u32>>) -> usize {
    let mut acted = acted.lock().unwrap();
    while let Some(entry) = control::pop(memory.rings()) {
        assert_eq!(entry, task(entry.task));
        acted.push(entry.task);
    }
    acted.len()
}

/// A thread that acts on the control ring and on nothing else, until n entries were acted on.
fn control_thread(memory: &Arc<Memory>, acted: &Arc<Mutex<Vec<u32>>>, all: usize) -> thread::JoinHandle<()> {
    let (memory, acted) = (Arc::clone(memory), Arc::clone(acted));
    thread::spawn(move || {
        loop {
            control::sleep(&memory.header, || false);
            if act(&memory, &acted) == all {
                break;
            }
        }
    })
}

#[test]
fn a_sleeping_control_thread_misses_no_entry() {
    check(3, || {
        let (memory, acted) = (Memory::new(2), Arc::new(Mutex::new(Vec::new())));
        let acting = control_thread(&memory, &acted, 2);
        // The ring has room for both: the host never waits.
        say(&memory, 1);
        say(&memory, 2);
        acting.join().unwrap();
        assert_eq!(*acted.lock().unwrap(), [1, 2]);
    });
}

#[test]
fn guest_threads_that_help_and_the_control_thread_act_on_each_entry_once_and_in_order() {
    check(2, || {
        let (memory, acted) = (Memory::new(2), Arc::new(Mutex::new(Vec::new())));
        let acting = control_thread(&memory, &acted, 3);
        let helping = thread::spawn({
            let (memory, acted) = (Arc::clone(&memory), Arc::clone(&acted));
            move || {
                // Once in passing, as before a wait; once when the ring may get full.
                if control::waiting(&memory.header) {
                    act(&memory, &acted);
                }
                if control::is_crowded(memory.rings()) {
                    act(&memory, &acted);
                }
            }
        });
        say(&memory, 1);
        say(&memory, 2);
        helping.join().unwrap();
        // Nobody helps any more: the control thread hears this one, whatever it slept through.
        say(&memory, 3);
        acting.join().unwrap();
        assert_eq!(*acted.lock().unwrap(), [1, 2, 3]);
    });
}

#[test]
fn a_slab_is_written_again_only_after_the_host_has_read_what_was_in_it() {
    check(3, || {
        let memory = Memory::new(4);
        // One chunk that can be taken: every lease is of the same memory.
        let table: Arc<Vec<AtomicU32>> = Arc::new([AtomicU32::new(!(1 << 1))].into());
        // Loom fails if a write to it is not ordered with every other access.
        let slab = Arc::new(UnsafeCell::new(0));
        let guest = thread::spawn({
            let (memory, table, slab) = (Arc::clone(&memory), Arc::clone(&table), Arc::clone(&slab));
            move || {
                let completer = Completer::default();
                for number in [1, 2, 3] {
                    let chunk = loop {
                        match chunks::take(&table, 1) {
                            Some(chunk) => break chunk,
                            None => thread::yield_now(),
                        }
                    };
                    // SAFETY: loom watches that nobody else has it.
                    slab.with_mut(|slab| unsafe { *slab = number });
                    let answer = Completion { slab: chunk as u32, length: number, ..Completion::default() };
                    completer.push(memory.rings(), answer).unwrap();
                }
            }
        });
        let (mut host, mut read) = (Drainer::new(memory.rings()), Vec::new());
        while read.len() < 3 {
            let Some(answer) = host.pop() else {
                thread::yield_now();
                continue;
            };
            let chunk = answer.slab as usize;
            // SAFETY: loom watches that nobody writes.
            read.push(slab.with(|slab| unsafe { *slab }));
            assert_eq!(read.last(), Some(&answer.length));
            chunks::give_back(&table, chunk..chunk + 1);
        }
        guest.join().unwrap();
        assert_eq!(read, [1, 2, 3]);
    });
}

/// Several blocks whose guest threads wait by the same parking words.
struct Shared {
    parking: Header,
    list: VersionedList<Arc<Memory>>,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { parking: Header::new(Constants::default()), list: VersionedList::default() })
    }

    fn rings<'a>(&'a self, memory: &'a Memory) -> Rings<'a> {
        Rings { parking: &self.parking, ..memory.rings() }
    }

    /// A host that comes, and submits a task.
    fn come(&self, number: u32) -> Arc<Memory> {
        let memory = Memory::new(2);
        self.list.change(|list| list.push(Arc::clone(&memory)));
        submission::wake_all(&self.parking);
        self.submit(&memory, number);
        memory
    }

    fn submit(&self, memory: &Memory, number: u32) {
        if Submitter::new(self.rings(memory)).push(task(number)).unwrap() {
            submission::ring(&self.parking);
        }
    }
}

/// A guest thread's view of them.
struct Blocks<'a> {
    shared: &'a Shared,
    seen: &'a mut Seen<Arc<Memory>>,
}

impl SubmissionSource for Blocks<'_> {
    type Task = u32;

    fn parking(&self) -> &Header {
        &self.shared.parking
    }

    fn pop(&mut self) -> Option<u32> {
        if !self.shared.list.is(self.seen) {
            *self.seen = self.shared.list.see();
        }
        self.seen.list().iter().find_map(|memory| memory.rings().take()).map(|task| task.task)
    }

    fn is_quiet(&self) -> bool {
        self.seen.list().iter().all(|memory| submission::is_empty(&memory.header))
            && self.shared.list.is(self.seen)
    }

    fn host_sleeps(&self) -> bool {
        self.seen.list().iter().any(|memory| memory.rings().host_sleeps())
    }

    fn host_cpu(&self) -> &CachePadded {
        &self.shared.parking.host_cpu
    }
}

/// Takes n tasks of whoever has some; their numbers.
fn serve_shared(shared: &Shared, count: usize) -> Vec<u32> {
    let (mut taker, mut seen) = (Taker::default(), shared.list.see());
    let mut next = || match taker.take(Blocks { shared, seen: &mut seen }, true) {
        Taken::Task(number) => number,
        other => unreachable!("{other:?}"),
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn a_poller_that_sleeps_by_parking_words_that_two_blocks_share_misses_no_submission_of_either_host() {
    check(2, || {
        let shared = Shared::new();
        let memories = [Memory::new(2), Memory::new(2)];
        shared.list.change(|list| list.extend(memories.iter().cloned()));
        let guest = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_shared(&shared, 2)
        });
        let other = thread::spawn({
            let (shared, memory) = (Arc::clone(&shared), Arc::clone(&memories[1]));
            move || shared.submit(&memory, 2)
        });
        shared.submit(&memories[0], 1);
        other.join().unwrap();
        let mut taken = guest.join().unwrap();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
    });
}

#[test]
fn a_poller_that_sleeps_sees_a_host_that_comes() {
    check(3, || {
        let shared = Shared::new();
        let guest = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve_shared(&shared, 1)
        });
        shared.come(7);
        assert_eq!(guest.join().unwrap(), [7]);
    });
}

#[test]
fn a_block_is_not_given_up_under_a_task_that_is_begun() {
    check(4, || {
        let tasks = Arc::new(Tasks::new(1));
        let guest = thread::spawn({
            let tasks = Arc::clone(&tasks);
            move || tasks.take(0).is_some() && !tasks.is_retired()
        });
        tasks.retire();
        let in_use = tasks.in_use();
        let begun = guest.join().unwrap();
        assert!(in_use || !begun, "memory of a task that is begun is freed");
    });
}

#[test]
fn a_thread_that_acts_on_the_control_ring_hears_that_its_host_has_left() {
    check(3, || {
        let memory = Memory::new(2);
        // As whoever writes it has it: not in the one order of all threads.
        let left = Arc::new(AtomicU32::new(0));
        let acting = thread::spawn({
            let (memory, left) = (Arc::clone(&memory), Arc::clone(&left));
            move || {
                let has_left = || left.load(Ordering::Acquire) == 1;
                while !has_left() {
                    control::sleep(&memory.header, has_left);
                }
            }
        });
        left.store(1, Ordering::Release);
        control::wake(&memory.header);
        acting.join().unwrap();
    });
}
