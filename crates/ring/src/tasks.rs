// SPDX-License-Identifier: Apache-2.0
//! Which tasks the guest owes an answer: one word a slot, so that a task is answered once.

use crate::sync::{AtomicU32, Ordering};

/// The state of a slot is its generation shifted left by two, and these bits.
const TAKEN: u32 = 1;
const HELD: u32 = 2;

/// The slots of a runtime, from the guest's end.
pub struct Tasks(Box<[AtomicU32]>);

/// What is known of a task when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its slot.
    pub slot: u32,
    /// The guest goes on using the request.
    pub held: bool,
}

fn split(task: u64) -> (usize, u32) {
    // The slot counts from 1, so that no task is 0.
    ((task as u32).wrapping_sub(1) as usize, (task >> 32) as u32)
}

impl Tasks {
    /// No task taken in any slot.
    pub fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| AtomicU32::new(0)).collect())
    }

    /// A guest thread took the task in `slot`: its name, or nothing where there is no such slot or
    /// the guest has not answered the one before.
    pub fn take(&self, slot: u32) -> Option<u64> {
        let state = self.0.get(slot as usize)?;
        // One thread took the entry, and nobody else changes a slot whose bits are clear.
        let before = state.load(Ordering::Acquire);
        if before & (TAKEN | HELD) != 0 {
            return None;
        }
        let now = before.wrapping_add(4);
        state.store(now | TAKEN, Ordering::Release);
        Some(u64::from(slot + 1) | u64::from(now >> 2) << 32)
    }

    /// Marks a task as answered; nothing where it was before, or never taken.
    pub fn answer(&self, task: u64) -> Option<Answered> {
        let before = self.change(task, TAKEN, |bits| bits & !TAKEN)?;
        Some(Answered { slot: split(task).0 as u32, held: before & HELD != 0 })
    }

    /// Marks the request of a task that is not answered yet as in use beyond the answer.
    pub fn hold(&self, task: u64) -> bool {
        self.change(task, TAKEN, |bits| bits | HELD).is_some()
    }

    /// Ends [`Tasks::hold`]: the slot whose request is free now. Nothing where the task is not
    /// answered yet (its answer then frees it) or was not held.
    pub fn release(&self, task: u64) -> Option<u32> {
        let before = self.change(task, HELD, |bits| bits & !HELD)?;
        (before & TAKEN == 0).then(|| split(task).0 as u32)
    }

    /// Whether the guest still uses a request, answered or not.
    pub fn in_use(&self) -> bool {
        self.0.iter().any(|state| state.load(Ordering::Acquire) & (TAKEN | HELD) != 0)
    }

    /// Applies `edit` to the bits of a task that has all of `needed`; the bits before.
    fn change(&self, task: u64, needed: u32, edit: impl Fn(u32) -> u32) -> Option<u32> {
        let (slot, generation) = split(task);
        let state = self.0.get(slot)?;
        let fits = |word: u32| word >> 2 == generation & (u32::MAX >> 2) && word & needed == needed;
        state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                fits(word).then(|| word & !3 | edit(word & 3))
            })
            .ok()
            .map(|word| word & 3)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_answered_once() {
        let tasks = Tasks::new(2);
        let task = tasks.take(1).unwrap();
        assert_eq!(tasks.answer(task), Some(Answered { slot: 1, held: false }));
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
    fn a_hold_after_the_answer_comes_too_late() {
        let tasks = Tasks::new(1);
        let task = tasks.take(0).unwrap();
        tasks.answer(task).unwrap();
        assert!(!tasks.hold(task));
    }
}
