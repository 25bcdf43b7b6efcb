// SPDX-License-Identifier: Apache-2.0
//! One turn of the loop: drains and spins until the loop may sleep, or is to go on with others.

use std::time::{Duration, Instant};

use polyloop_ring::{
    completion, control,
    spin::{self, Spun},
    submission,
};

use super::Hub;
use crate::{member::Member, uv};

/// The longest that one turn of the loop may go on draining and spinning.
const BUDGET: Duration = Duration::from_micros(200);

impl Hub {
    fn alive(&self) -> bool {
        self.members.iter().any(Member::keeps_alive)
    }

    fn waiting(&self) -> bool {
        self.members.iter().any(|member| completion::waiting(member.header()))
    }

    fn gather(&self) {
        // With several connections there is enough to drain.
        if let [member] = self.members.as_slice() {
            completion::gather(member.header());
        }
    }

    fn unref_loop_if_alone(&mut self) {
        // SAFETY: as in ref_loop.
        unsafe {
            uv::uv_unref(self.handles.doorbell);
            if !self.copies.has_others() && uv::uv_loop_alive(self.uv_loop) != 0 {
                uv::uv_ref(self.handles.doorbell);
            } else {
                self.words.write(0);
            }
        }
    }

    /// `words[1]`: 1 while JavaScript drains. What JavaScript writes into control rings meanwhile
    /// is acted on afterwards, without a call for each.
    pub(super) fn draining(&mut self, now: bool) {
        // SAFETY: words live as long as the hub, and belong to this thread.
        unsafe { self.words.add(1).write(now.into()) };
        if now {
            return;
        }
        for member in &self.members {
            if control::waiting(member.header()) {
                member.placement.control();
            }
        }
    }

    fn held(&self) -> bool {
        // SAFETY: words live as long as the hub.
        unsafe { self.words.read() != 0 }
    }

    /// The budget is spent: the loop turns once without sleeping, and the hub goes on.
    fn yield_turn(&mut self) {
        self.idle(true);
        for member in &mut self.members {
            member.sweep();
            if member.outstanding() && member.stuck() {
                self.counts.helps += u64::from(submission::help(member.header(), member.parking()));
            }
        }
    }

    fn idle(&mut self, on: bool) {
        if self.idling == on {
            return;
        }
        self.idling = on;
        // SAFETY: the handle is open.
        unsafe {
            if on {
                uv::uv_idle_start(self.handles.idle, on_idle)
            } else {
                uv::uv_idle_stop(self.handles.idle)
            };
        }
    }

    /// Spins for completions while calls are outstanding and spinning pays.
    fn spin(&mut self) -> bool {
        let mut longest = Duration::ZERO;
        let mut partner = None;
        for (index, member) in self.members.iter_mut().enumerate() {
            if member.spins && member.outstanding() {
                let window = member.window.length();
                if window > longest || partner.is_none() {
                    (longest, partner) = (window, Some(index));
                }
            }
        }
        let Some(partner) = partner.filter(|_| !longest.is_zero()) else { return false };
        let (header, parking) = (self.members[partner].header(), self.members[partner].parking());
        let spun = spin::spin(longest, &header.host_cpu, &parking.guest_cpu, || self.waiting());
        for member in &mut self.members {
            let waiting = completion::waiting(member.header());
            if spun == Spun::Crowded {
                member.window.learn(spun);
            } else if waiting {
                member.window.learn(Spun::Met);
            } else if spun == Spun::Missed && member.spins && member.outstanding() {
                member.window.learn(spun);
            }
        }
        self.waiting()
    }

    /// Gets ready for the loop to sleep; `false` if completions have come meanwhile.
    fn sleep(&mut self) -> bool {
        self.idle(false);
        for member in &mut self.members {
            member.sweep();
            let header = member.placement.block().rings().header;
            spin::publish(&header.host_cpu);
        }
        match (self.alive(), self.held()) {
            (true, false) => self.ref_loop(),
            (false, true) => self.unref_loop_if_alone(),
            _ => {}
        }
        // SYNC POINT host-sleep
        let mut quiet = true;
        for member in &self.members {
            quiet &= completion::arm(member.header());
            // Only now: a poller that leaves from here on sees that the host sleeps, and helps
            // itself.
            self.counts.helps += u64::from(submission::help(member.header(), member.parking()));
        }
        if !quiet {
            self.wake();
        }
        quiet
    }

    pub(super) fn wake(&mut self) {
        for member in &self.members {
            completion::disarm(member.header());
        }
    }
}

/// A turn of the loop. JavaScript that it calls comes back into the hub through the exports, so no
/// borrow of the hub lasts across such a call.
///
/// # Safety
/// `hub` is live and this is its thread.
pub(super) unsafe fn turn(hub: *mut Hub) {
    // STOP 8 drain
    // SAFETY: promised by the caller; each use of `now` ends before JavaScript runs.
    let now = || unsafe { &mut *hub };
    now().counts.turns += 1;
    let began = Instant::now();
    loop {
        if now().waiting() {
            now().counts.drains += 1;
            now().gather();
            let calls = now().calls;
            now().draining(true);
            calls.drain();
            now().draining(false);
        } else if !now().spin() && now().sleep() {
            return;
        }
        if began.elapsed() >= BUDGET {
            return now().yield_turn();
        }
    }
}

extern "C" fn on_idle(_: *mut uv::Handle) {}
