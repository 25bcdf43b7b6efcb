// SPDX-License-Identifier: Apache-2.0
//! Both doorbells under load on real threads. Each side looks a random number of times before it
//! goes to sleep, so that again and again the other side writes at just that moment. Without either
//! second look (`take.rs`, `completion.rs`) the test hangs, which the watchdog turns into a
//! failure.
#![cfg(not(loom))]

use std::{
    process,
    sync::{
        Arc, Condvar, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use polyloop_ring::{
    Completion, Layout, Submission, Taken, Taker,
    completion::{self, Completer, Drainer},
    region::Block,
    submission::{self, Submitter},
};

/// Calls of each test. Under a sanitizer, where each takes many times as long, fewer do.
static CALLS: LazyLock<u64> = LazyLock::new(|| {
    std::env::var("POLYLOOP_STRESS_CALLS").map_or(200_000, |calls| calls.parse().expect("a number of calls"))
});

struct Shared {
    block: Block,
    completer: Completer,
    bell: (Mutex<bool>, Condvar),
    progress: AtomicU64,
}

fn guest(shared: &Shared) -> u64 {
    let (mut taker, mut served, mut random) = (Taker::without_spin(), 0, 7);
    while let Taken::Task(task) = patiently(&mut taker, shared, &mut random) {
        served += 1;
        dawdle(&mut random);
        let answer = Completion { task: task.task, aux: task.deadline, ..Completion::default() };
        if shared.completer.push(shared.block.rings(), answer).unwrap() {
            *shared.bell.0.lock().unwrap() = true;
            shared.bell.1.notify_one();
        }
    }
    served
}

fn patiently(taker: &mut Taker, shared: &Shared, random: &mut u32) -> Taken {
    for _ in 0..looks(random) {
        let taken = taker.take(shared.block.rings(), false);
        if taken != Taken::Empty {
            return taken;
        }
        std::hint::spin_loop();
    }
    taker.take(shared.block.rings(), true)
}

/// Some microseconds of work, another number every time.
fn dawdle(random: &mut u32) {
    for _ in 0..looks(random) {
        std::hint::spin_loop();
    }
}

/// How often to look before going to sleep: up to some microseconds, another number every time.
fn looks(random: &mut u32) -> u32 {
    *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *random >> 24
}

fn sleep(shared: &Shared) {
    if completion::arm(shared.block.rings().header) {
        let mut rung = shared.bell.0.lock().unwrap();
        while !*rung {
            rung = shared.bell.1.wait(rung).unwrap();
        }
        *rung = false;
    }
    completion::disarm(shared.block.rings().header);
}

/// Keeps `outstanding` calls in flight; every answer must be that of its call.
fn host(shared: &Shared, outstanding: u64) {
    let (calls, rings) = (*CALLS, shared.block.rings());
    let (mut submitter, mut drainer) = (Submitter::new(rings), Drainer::new(rings));
    let (mut sent, mut answered, mut sum, mut random) = (0, 0, 0u64, 1);
    while answered < calls {
        while sent < calls && sent - answered < outstanding {
            dawdle(&mut random);
            let task =
                Submission { task: (sent % outstanding) as u32, deadline: sent, ..Submission::default() };
            if submitter.push(task).expect("the ring holds all that is outstanding") {
                submission::ring(rings.header);
            }
            sent += 1;
        }
        let look = |_| {
            std::hint::spin_loop();
            drainer.pop()
        };
        match (0..=looks(&mut random)).find_map(look) {
            Some(answer) => {
                sum = sum.wrapping_add(answer.aux);
                answered += 1;
                shared.progress.store(answered, Ordering::Relaxed);
            }
            None => sleep(shared),
        }
    }
    assert_eq!(sum, calls * (calls - 1) / 2, "every call is answered once");
}

/// Ends the process if no call is answered for two minutes: a sleeper was not woken.
fn watch(shared: Arc<Shared>) {
    thread::spawn(move || {
        let mut last = u64::MAX;
        loop {
            let now = shared.progress.load(Ordering::Relaxed);
            if now == *CALLS {
                return;
            }
            if now == last {
                eprintln!("lost wake-up: no answer after call {now} of {}", *CALLS);
                process::exit(101);
            }
            last = now;
            thread::sleep(Duration::from_mins(2));
        }
    });
}

/// Keeps the calling thread on one processor: left alone, the scheduler stacks threads that wake
/// each other, and nothing happens at the same time.
fn pin(cpu: usize) {
    // SAFETY: a cpu_set_t is plain bits; the call reads exactly its size; 0 is this thread.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of_val(&one), &raw const one);
    }
}

/// The first and the last processor that this thread may use.
fn processors() -> (usize, usize) {
    // SAFETY: as in pin; the call writes exactly the set's size.
    let cpus: Vec<usize> = unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed);
        (0..1024).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)).collect()
    };
    (cpus[0], cpus[cpus.len() - 1])
}

fn stress(threads: usize, outstanding: u64) {
    let (ours, theirs) = processors();
    pin(ours);
    let shared = Arc::new(Shared {
        block: Block::new(Layout::new(64)).unwrap(),
        completer: Completer::default(),
        bell: (Mutex::new(false), Condvar::new()),
        progress: AtomicU64::new(0),
    });
    watch(Arc::clone(&shared));
    let guests: Vec<_> = (0..threads)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                pin(theirs);
                guest(&shared)
            })
        })
        .collect();
    host(&shared, outstanding);
    submission::stop(shared.block.rings().header);
    let served: u64 = guests.into_iter().map(|guest| guest.join().unwrap()).sum();
    assert_eq!(served, *CALLS, "every task is taken once");
}

#[test]
fn sequential_calls_between_two_sleepers_all_come_back() {
    stress(1, 1);
}

#[test]
fn many_calls_over_three_guest_threads_all_come_back() {
    stress(3, 32);
}
