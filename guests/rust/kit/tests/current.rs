// SPDX-License-Identifier: Apache-2.0
//! What a function knows of its call: whether anybody waits, until when, and in what context.

mod support;

use std::sync::atomic::Ordering::SeqCst;

use polyloop_abi::*;
use serde_json::json;
use support::{Call, Guest, Options};

#[polyloop::guest]
mod functions {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    pub static BEGUN: AtomicU32 = AtomicU32::new(0);
    pub static DROPPED: AtomicU32 = AtomicU32::new(0);

    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    pub async fn forever(data: &[u8]) -> usize {
        let _counted = Counted;
        BEGUN.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
        data.len()
    }
    pub async fn forever_with_a_bomb() {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    }
    pub async fn ready() -> u8 {
        7
    }
    pub fn spin() -> bool {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        while !polyloop::is_cancelled() {
            std::thread::yield_now();
        }
        true
    }
    pub fn remaining() -> Option<f64> {
        polyloop::remaining().map(|left| left.as_secs_f64())
    }
    pub async fn remaining_later() -> Option<f64> {
        tokio::task::yield_now().await;
        let deadline = polyloop::deadline()?;
        Some((deadline - Instant::now()).as_secs_f64())
    }
    pub fn overdue() -> bool {
        polyloop::deadline().is_some_and(|deadline| deadline < Instant::now())
    }
    pub fn trace() -> BTreeMap<String, String> {
        assert!(polyloop::annotate("seen", "no") && polyloop::annotate("seen", "yes"));
        assert!(polyloop::annotate("by", "trace"));
        assert!(!polyloop::annotate("long", "x".repeat(5000)));
        polyloop::context()
    }
    pub async fn trace_later() -> BTreeMap<String, String> {
        tokio::task::yield_now().await;
        polyloop::annotate("seen", "later");
        polyloop::context()
    }
    pub fn elsewhere() -> bool {
        let ask = || (polyloop::is_cancelled(), polyloop::remaining(), polyloop::annotate("a", "b"));
        std::thread::spawn(move || ask() == (false, None, false)).join().unwrap()
    }
    pub fn asked_late() -> Asks {
        Asks
    }
    /// Asks when it is encoded, and when it is dropped.
    pub struct Asks;
    impl serde::Serialize for Asks {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(polyloop::context())
        }
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            polyloop::annotate("dropped", "before the answer");
        }
    }
    pub static AFTER: AtomicU32 = AtomicU32::new(0);
    pub fn asked_too_late(_asks: AsksTooLate) -> u8 {
        1
    }
    pub fn asked_too_late_lent(asks: &AsksTooLate) -> u8 {
        u8::from(asks.0)
    }
    #[derive(serde::Deserialize)]
    pub struct AsksTooLate(bool);
    impl Drop for AsksTooLate {
        fn drop(&mut self) {
            // 1 while the call is unanswered, 1000 after that.
            let unanswered = polyloop::context().contains_key("user");
            AFTER.fetch_add(if unanswered { 1 } else { 1000 }, Ordering::SeqCst);
        }
    }
}

/// The counters are the process's.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn guest() -> Guest {
    start!(Options::default()).expect("the guest starts")
}

fn wait_for(counter: &std::sync::atomic::AtomicU32, value: u32) {
    let begun = std::time::Instant::now();
    while counter.load(SeqCst) < value {
        assert!(begun.elapsed().as_secs() < 300, "it never happened");
        std::thread::yield_now();
    }
}

fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

#[test]
fn a_future_that_is_pending_is_dropped_when_its_caller_gives_up() {
    let _alone = alone();
    let guest = guest();
    let (begun, dropped) = (functions::BEGUN.load(SeqCst), functions::DROPPED.load(SeqCst));
    let calls = (0..20).map(|_| guest.submit("forever", FLAG_BYTES, b"x")).collect::<Vec<_>>();
    wait_for(&functions::BEGUN, begun + 20);
    assert_eq!(functions::DROPPED.load(SeqCst), dropped);
    for id in &calls {
        guest.cancel(*id);
    }
    for id in calls {
        assert_eq!(guest.answer(id).refusal(), "cancelled: forever(data): the caller gave the call up");
        assert_eq!(guest.line(id, |line| line.watches), 1);
    }
    assert_eq!(functions::DROPPED.load(SeqCst), dropped + 20);
    assert!(guest.unload());
}

#[test]
fn a_call_that_was_given_up_before_it_began_ends_too() {
    let _alone = alone();
    let guest = start!(Options { threads: 1, ..Options::default() }).unwrap();
    // The only thread is busy while the other call is given up.
    let begun = functions::BEGUN.load(SeqCst);
    let spin = guest.submit("spin", FLAG_EMPTY, b"");
    wait_for(&functions::BEGUN, begun + 1);
    let id = guest.submit("forever", FLAG_BYTES, b"x");
    guest.cancel(id);
    guest.cancel(spin);
    assert_eq!(guest.answer(spin).json(), true);
    assert!(guest.answer(id).refusal().starts_with("cancelled: "));
    assert!(guest.unload());
}

#[test]
fn a_future_that_is_ready_at_once_is_never_watched() {
    let guest = guest();
    let id = guest.submit("ready", FLAG_EMPTY, b"");
    assert_eq!(guest.answer(id).json(), 7);
    assert_eq!(guest.line(id, |line| line.watches), 0);
    assert!(guest.unload());
}

#[test]
fn a_panic_while_a_future_is_dropped_does_not_reach_the_executor() {
    let guest = guest();
    let id = guest.submit("forever_with_a_bomb", FLAG_EMPTY, b"");
    guest.cancel(id);
    assert!(guest.answer(id).refusal().starts_with("cancelled: "));
    assert_eq!(guest.value("ready", &json!([])), 7);
    assert!(guest.unload());
}

#[test]
fn a_sync_function_sees_that_nobody_waits() {
    let _alone = alone();
    let guest = guest();
    let begun = functions::BEGUN.load(SeqCst);
    let id = guest.submit("spin", FLAG_EMPTY, b"");
    wait_for(&functions::BEGUN, begun + 1);
    guest.cancel(id);
    assert_eq!(guest.answer(id).json(), true);
    assert!(guest.unload());
}

#[test]
fn a_function_sees_its_deadline_on_the_clock_of_instants() {
    let guest = guest();
    for name in ["remaining", "remaining_later"] {
        let id = guest.begin(name, &Call { deadline_ns: now_ns() + 60_000_000_000, ..Call::default() });
        let left = guest.answer(id).json().as_f64().unwrap();
        assert!(left > 30.0 && left <= 60.0, "{name}: {left}");
        assert_eq!(guest.value(name, &json!([])), json!(null));
    }
    let late = || Call { deadline_ns: now_ns() - 1_000_000, ..Call::default() };
    assert_eq!(guest.answer(guest.begin("remaining", &late())).json(), json!(0.0));
    assert_eq!(guest.answer(guest.begin("overdue", &late())).json(), true);
    assert!(guest.unload());
}

#[test]
fn the_context_comes_with_the_call_and_notes_go_back() {
    let guest = guest();
    let context = "{\"trace\": \"t\\\"1\", \"user\": \"ada\"}";
    for (name, notes) in
        [("trace", json!({"seen": "yes", "by": "trace"})), ("trace_later", json!({"seen": "later"}))]
    {
        let id = guest.begin(name, &Call { context, ..Call::default() });
        assert_eq!(guest.answer(id).json(), json!({"trace": "t\"1", "user": "ada"}), "{name}");
        assert_eq!(guest.line(id, |line| line.notes.clone()), Some(notes), "{name}");
        assert_eq!(guest.value(name, &json!([])), json!({}));
    }
    assert!(guest.unload());
}

#[test]
fn a_context_is_there_until_the_answer_and_empty_afterwards() {
    let guest = guest();
    let context = "{\"user\": \"ada\"}";
    let id = guest.begin("asked_late", &Call { context, ..Call::default() });
    assert_eq!(guest.answer(id).json()["user"], "ada");
    let notes = json!({"dropped": "before the answer"});
    assert_eq!(guest.line(id, |line| line.notes.clone()), Some(notes));
    for name in ["asked_too_late", "asked_too_late_lent"] {
        let id = guest.begin(name, &Call { context, payload: b"[true]", ..Call::default() });
        assert_eq!(guest.answer(id).json(), 1);
    }
    assert!(guest.unload());
    assert_eq!(functions::AFTER.load(SeqCst), 1001, "the argument that is lent is dropped after the answer");
}

#[test]
fn outside_of_a_call_there_is_nothing_to_know() {
    assert!(!polyloop::is_cancelled() && polyloop::deadline().is_none() && polyloop::context().is_empty());
    let guest = guest();
    assert_eq!(guest.value("elsewhere", &json!([])), true);
    assert!(guest.unload());
}
