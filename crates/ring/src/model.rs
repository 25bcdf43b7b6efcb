// SPDX-License-Identifier: Apache-2.0
//! Loom models: every interleaving of the protocols, within loom's bound on preemptions.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p polyloop-ring --release`. A lost wake-up shows as loom's
//! report of a deadlock.

use loom::{
    model::Builder,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use crate::{
    Rings,
    completion::{self, Completer, Drainer},
    entry::{Completion, Entry, Submission},
    layout::{Constants, Header},
    submission::{self, Full, Submitter},
    take::{Taken, Taker},
    tasks::Tasks,
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
        Rings { header: &self.header, sq: &self.sq, cq: &self.cq, control: &self.control }
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
            submission::help(&memory.header);
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
        submission::help(&memory.header);
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
        // The host waits for a release exactly where the answer said so.
        assert_eq!(releasing.join().unwrap(), held);
        assert!(tasks.take(0).is_some());
    });
}
