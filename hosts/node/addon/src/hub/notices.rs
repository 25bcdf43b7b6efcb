// SPDX-License-Identifier: Apache-2.0
//! What a hub tells JavaScript outside the rings.

use polyloop_connection::{
    Event,
    join::{News, Place},
};

use super::Hub;
use crate::signals::Notice;

impl Hub {
    /// A connection has its place in a shared guest. `false`: the connection was removed.
    fn settle(&mut self, id: u32, place: Place) -> bool {
        let Some(own) = self.member(id).ok().and_then(|member| member.own.as_mut()) else { return false };
        own.joining = None;
        own.place = Some(place);
        true
    }
}

/// Tells JavaScript of loads, deaths and unloads.
///
/// # Safety
/// `hub` is live and this is its thread.
pub(super) unsafe fn deliver(hub: *mut Hub) {
    // SAFETY: promised by the caller; each use of `now` ends before JavaScript runs.
    let now = || unsafe { &mut *hub };
    let calls = now().calls;
    for (id, notice) in now().signals.take_notices() {
        let event = match notice {
            Notice::Guest(event) => event,
            Notice::Join(news) => {
                // SAFETY: as promised to this function.
                unsafe { deliver_news(hub, id, news) };
                continue;
            }
        };
        if !matches!(event, Event::Died(_))
            && let Ok(member) = now().member(id)
        {
            member.pending = member.pending.saturating_sub(1);
        }
        // What was answered and printed before the event is told before.
        now().draining(true);
        calls.drain();
        now().draining(false);
        if matches!(event, Event::Closed | Event::Failed(..)) {
            now().remove(id, false);
        }
        let (kind, rc, payload) = match &event {
            Event::Ready(manifest) => ("ready", 0, manifest.as_str()),
            Event::Failed(rc, error) => ("failed", *rc, error.0.as_str()),
            Event::Died(error) => ("died", 0, error.0.as_str()),
            Event::Closed => ("closed", 0, ""),
        };
        calls.event(id, kind, rc, payload);
    }
}

/// Tells JavaScript how a connection fares on its way to a shared guest; not once that connection
/// was removed.
///
/// # Safety
/// `hub` is live and this is its thread.
unsafe fn deliver_news(hub: *mut Hub, id: u32, news: News) {
    // SAFETY: promised by the caller; each use of `now` ends before JavaScript runs.
    let now = || unsafe { &mut *hub };
    let calls = now().calls;
    match news {
        News::Joined(place) => {
            if now().settle(id, place) {
                calls.event(id, "joined", 0, "");
            }
        }
        News::Refused(why) => {
            let own = now().member(id).ok().and_then(|member| member.own.as_mut());
            if let Some(own) = own {
                own.joining = None;
                calls.event(id, "refused", 0, &why);
            }
        }
    }
}
