// SPDX-License-Identifier: Apache-2.0
//! Which tasks the guest owes an answer, and which of them their callers gave up: two words a
//! request buffer, so that a task is answered once. An item of a request stream is a task here,
//! too: it is given back once.

use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, store_before_looking};

/// The state of a slot is its generation, how often it was taken, shifted left, and these bits.
const TAKEN: u32 = 1;
const HELD: u32 = 2;
const KNOWN: u32 = 4;
const SHIFT: u32 = 3;
const BITS: u32 = (1 << SHIFT) - 1;
/// Generations wrap; the host counts along and wraps the same.
pub const GENERATIONS: u32 = u32::MAX >> SHIFT;
/// Marks the generation in a word of `cancelled`, which is 0 at first.
const CANCELLED: u32 = 1 << 31;

/// The slots of a connection, from the guest's end.
pub struct Tasks {
    states: Box<[AtomicU32]>,
    cancelled: Box<[AtomicU32]>,
    /// When timed tasks were taken.
    taken: Box<[AtomicU64]>,
    /// 1 once nobody is to take any.
    retired: AtomicU32,
}

/// What is known of a slot's task of some generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The task was submitted, and no guest thread has taken it yet.
    Waiting,
    /// The guest owes an answer.
    Taken,
    /// The task was answered.
    Over,
}

/// What is known of a task when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its slot.
    pub slot: u32,
    /// The guest goes on using the request.
    pub held: bool,
    /// More is kept of the task elsewhere, see [`Tasks::know`].
    pub known: bool,
}

/// Slot and generation of a task's name.
pub fn split(task: u64) -> (usize, u32) {
    // The slot counts from 1, so that no task is 0.
    ((task as u32).wrapping_sub(1) as usize, (task >> 32) as u32)
}

impl Tasks {
    /// No task taken in any slot.
    pub fn new(slots: usize) -> Self {
        let words = || (0..slots).map(|_| AtomicU32::new(0)).collect();
        let taken = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { states: words(), cancelled: words(), taken, retired: AtomicU32::new(0) }
    }

    /// From now on no task is to be begun: [`Tasks::in_use`] sees those that were taken, and who
    /// takes one sees this.
    pub fn retire(&self) {
        // SYNC POINT retire
        store_before_looking(&self.retired, 1);
        fence(Ordering::SeqCst);
    }

    /// Whether they are retired. Who asks after a [`Tasks::take`] and hears that they are not was
    /// seen.
    pub fn is_retired(&self) -> bool {
        // SYNC POINT retire
        fence(Ordering::SeqCst);
        self.retired.load(Ordering::SeqCst) != 0
    }

    /// A guest thread took the task in `slot`: its name, or nothing if there is no such slot or
    /// the guest has not answered the one before.
    pub fn take(&self, slot: u32) -> Option<u64> {
        let state = self.states.get(slot as usize)?;
        // One thread took the entry, and nobody else changes a slot whose bits are clear.
        let before = state.load(Ordering::Acquire);
        if before & (TAKEN | HELD) != 0 {
            return None;
        }
        let now = before.wrapping_add(1 << SHIFT) & !BITS;
        state.store(now | TAKEN, Ordering::Release);
        Some(u64::from(slot + 1) | u64::from(now >> SHIFT) << 32)
    }

    /// Marks a task as answered; nothing if that was done before, or never taken.
    pub fn answer(&self, task: u64) -> Option<Answered> {
        let before = self.change(task, TAKEN, |bits| bits & !(TAKEN | KNOWN))?;
        Some(Answered { slot: split(task).0 as u32, held: before & HELD != 0, known: before & KNOWN != 0 })
    }

    /// Notes when a timed task was taken, in nanoseconds.
    pub fn time(&self, task: u64, now: u64) {
        if let Some(taken) = self.taken.get(split(task).0) {
            taken.store(now, Ordering::Relaxed);
        }
    }

    /// When a slot's task was taken, if it is timed: once.
    #[inline]
    pub fn timed(&self, slot: u32) -> u64 {
        let Some(taken) = self.taken.get(slot as usize) else { return 0 };
        let at = taken.load(Ordering::Relaxed);
        if at != 0 {
            taken.store(0, Ordering::Relaxed);
        }
        at
    }

    /// Notes that more is kept of a task elsewhere, which its answer ends. `false`: the task was
    /// answered before.
    pub fn know(&self, task: u64) -> bool {
        self.change(task, TAKEN, |bits| bits | KNOWN).is_some()
    }

    /// How the task of a slot and generation stands.
    pub fn standing(&self, slot: u32, generation: u32) -> Standing {
        let Some(state) = self.states.get(slot as usize) else { return Standing::Over };
        let word = state.load(Ordering::Acquire);
        match (word >> SHIFT == generation, word & TAKEN != 0) {
            (true, true) => Standing::Taken,
            (false, _) if (word >> SHIFT).wrapping_add(1) & GENERATIONS == generation => Standing::Waiting,
            _ => Standing::Over,
        }
    }

    /// Whether a task is not answered yet.
    pub fn is_open(&self, task: u64) -> bool {
        let (slot, generation) = split(task);
        slot < self.states.len() && self.standing(slot as u32, generation) == Standing::Taken
    }

    /// The caller of a slot's task of this generation has given the task up, taken or not.
    pub fn cancel(&self, slot: u32, generation: u32) {
        if let Some(word) = self.cancelled.get(slot as usize) {
            word.store(generation | CANCELLED, Ordering::Release);
        }
    }

    /// Whether the caller has given a task up.
    #[inline]
    pub fn is_cancelled(&self, task: u64) -> bool {
        let (slot, generation) = split(task);
        self.cancelled.get(slot).is_some_and(|word| word.load(Ordering::Acquire) == generation | CANCELLED)
    }

    /// Marks the request of a task that is not answered yet as in use beyond the answer.
    pub fn hold(&self, task: u64) -> bool {
        self.change(task, TAKEN, |bits| bits | HELD).is_some()
    }

    /// Ends [`Tasks::hold`]: the slot whose request is free now. Nothing if the task is not
    /// answered yet (its answer then frees it) or was not held.
    pub fn release(&self, task: u64) -> Option<u32> {
        let before = self.change(task, HELD, |bits| bits & !HELD)?;
        (before & TAKEN == 0).then(|| split(task).0 as u32)
    }

    /// Whether the guest still uses a request, answered or not.
    pub fn in_use(&self) -> bool {
        self.states.iter().any(|state| state.load(Ordering::Acquire) & (TAKEN | HELD) != 0)
    }

    /// Applies `edit` to the bits of a task that has all of `needed`; the bits before.
    fn change(&self, task: u64, needed: u32, edit: impl Fn(u32) -> u32) -> Option<u32> {
        let (slot, generation) = split(task);
        let state = self.states.get(slot)?;
        let fits = |word: u32| word >> SHIFT == generation && word & needed == needed;
        state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                fits(word).then(|| word & !BITS | edit(word & BITS))
            })
            .ok()
            .map(|word| word & BITS)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_answered_once() {
        let tasks = Tasks::new(2);
        let task = tasks.take(1).unwrap();
        assert_eq!(tasks.answer(task), Some(Answered { slot: 1, held: false, known: false }));
        assert_eq!(tasks.answer(task), None);
    }

    #[test]
    fn the_name_of_a_slots_last_task_does_not_answer_the_next() {
        let tasks = Tasks::new(1);
        let first = tasks.take(0).unwrap();
        tasks.answer(first).unwrap();
        let second = tasks.take(0).unwrap();
        assert_ne!(first, second);
        assert_eq!(tasks.answer(first), None);
        assert!(tasks.answer(second).is_some());
    }

    #[test]
    fn a_slot_is_not_taken_again_before_its_answer_and_the_release_of_its_request() {
        let tasks = Tasks::new(1);
        let task = tasks.take(0).unwrap();
        assert!(tasks.hold(task));
        assert_eq!(tasks.take(0), None);
        assert!(tasks.answer(task).unwrap().held);
        assert_eq!(tasks.take(0), None);
        assert!(tasks.in_use());
        assert_eq!(tasks.release(task), Some(0));
        assert!(!tasks.in_use());
        assert!(tasks.take(0).is_some());
    }

    #[test]
    fn names_that_no_task_has_change_nothing() {
        let tasks = Tasks::new(1);
        for name in [0, 1, 2, u64::MAX, 1 << 32] {
            assert_eq!(tasks.answer(name), None);
            assert!(!tasks.hold(name));
            assert_eq!(tasks.release(name), None);
        }
        assert_eq!(tasks.take(1), None, "there is no such slot");
    }

    #[test]
    fn a_cancellation_is_of_one_generation_whether_it_was_taken_or_not() {
        let tasks = Tasks::new(1);
        tasks.cancel(0, 1);
        assert_eq!(tasks.standing(0, 1), Standing::Waiting);
        let first = tasks.take(0).unwrap();
        assert!(tasks.is_cancelled(first));
        assert_eq!(tasks.standing(0, 1), Standing::Taken);
        tasks.answer(first).unwrap();
        assert_eq!((tasks.standing(0, 1), tasks.standing(0, 2)), (Standing::Over, Standing::Waiting));
        let second = tasks.take(0).unwrap();
        assert!(!tasks.is_cancelled(second));
        tasks.cancel(0, 1);
        assert!(!tasks.is_cancelled(second), "the first one's comes late");
        tasks.cancel(0, 2);
        assert!(tasks.is_cancelled(second));
    }

    #[test]
    fn when_a_timed_task_was_taken_is_told_once() {
        let tasks = Tasks::new(1);
        let task = tasks.take(0).unwrap();
        tasks.time(task, 7);
        assert_eq!((tasks.timed(0), tasks.timed(0), tasks.timed(1)), (7, 0, 0));
    }

    #[test]
    fn a_task_that_more_is_kept_of_says_so_when_it_is_answered() {
        let tasks = Tasks::new(1);
        let task = tasks.take(0).unwrap();
        assert!(tasks.know(task) && tasks.is_open(task));
        assert!(tasks.answer(task).unwrap().known);
        assert!(!tasks.know(task) && !tasks.is_open(task));
        let next = tasks.take(0).unwrap();
        assert!(!tasks.answer(next).unwrap().known);
    }

    #[test]
    fn a_hold_after_the_answer_comes_too_late() {
        let tasks = Tasks::new(1);
        let task = tasks.take(0).unwrap();
        tasks.answer(task).unwrap();
        assert!(!tasks.hold(task));
    }
}
