// SPDX-License-Identifier: Apache-2.0
//! One hub an environment: drains the completion rings of all its runtimes in step with Node's loop.
//!
//! In libuv's prepare phase, just before the loop would sleep, the hub drains, and while calls are
//! outstanding spins for more within a window and a budget; timers and sockets get their turn at
//! least every [`BUDGET`]. It then arms the rings, looks again, and lets the loop sleep.
//!
//! The loop is kept alive while calls are outstanding. Letting go and taking hold again would cost
//! a call at every first and last request, so the hub lets go only when nothing else keeps the
//! loop alive: `words[0]` tells JavaScript whether it must take hold again.

use std::{
    collections::HashMap,
    ffi::c_void,
    os::fd::AsRawFd,
    ptr,
    sync::Arc,
    time::{Duration, Instant},
};

use napi_sys::{self as sys, napi_env, napi_value};
use polyloop_connection::{Event, unload};
use polyloop_ring::{
    completion, control,
    spin::{self, Spun},
    submission,
};

use crate::{
    bell::Bell,
    calls::Calls,
    ending::{self, Changing},
    guests::Guests,
    home::Home,
    join::{News, Place},
    member::Member,
    napi::{self, Result},
    pins::Pinner,
    requests::Requests,
    signals::{Notice, Signals},
    uv,
};

/// The longest that one turn of the loop may go on draining and spinning.
const BUDGET: Duration = Duration::from_micros(200);
/// Counts of one hub; what tests gate on.
#[derive(Default, Clone, Copy)]
pub struct Counts {
    /// Calls from JavaScript into the add-on.
    pub calls: u64,
    /// Calls from the hub into JavaScript.
    pub drains: u64,
    /// Guest doorbells rung.
    pub doorbells: u64,
    /// Followers woken to help.
    pub helps: u64,
    /// Turns of the loop.
    pub turns: u64,
}

struct Handles {
    doorbell: *mut uv::Handle,
    prepare: *mut uv::Handle,
    check: *mut uv::Handle,
    idle: *mut uv::Handle,
}

pub struct Hub {
    calls: Calls,
    uv_loop: *mut uv::Loop,
    handles: Handles,
    closing: u32,
    hook: sys::napi_async_cleanup_hook_handle,
    words: *mut u32,
    idling: bool,
    pub guests: Arc<Guests>,
    pub pinner: Pinner,
    pub signals: Arc<Signals>,
    pub members: Vec<Member>,
    /// Of the runtimes whose instances they are.
    pub requests: HashMap<u32, Arc<Requests>>,
    /// Loads and unloads under way: they keep the loop alive too.
    pub pending: u32,
    pub counts: Counts,
}

impl Hub {
    /// Makes the hub of an environment; `drain` and `on_event` are functions of JavaScript.
    pub fn start(env: napi_env, drain: napi_value, on_event: napi_value) -> Result<*mut Self> {
        let mut uv_loop = ptr::null_mut();
        // SAFETY: env is live.
        napi::check(unsafe { sys::napi_get_uv_event_loop(env, &raw mut uv_loop) }, "the event loop")?;
        let handles = Handles {
            doorbell: uv::allocate(uv::Type::Async),
            prepare: uv::allocate(uv::Type::Prepare),
            check: uv::allocate(uv::Type::Check),
            idle: uv::allocate(uv::Type::Idle),
        };
        let hub = Box::into_raw(Box::new(Self {
            calls: Calls::new(env, drain, on_event)?,
            uv_loop: uv_loop.cast(),
            guests: Arc::default(),
            signals: Arc::new(Signals::new(handles.doorbell)),
            handles,
            closing: 0,
            hook: ptr::null_mut(),
            words: Box::into_raw(Box::new([0u32; 16])).cast(),
            idling: false,
            pinner: Pinner::probe(env),
            members: Vec::new(),
            requests: HashMap::new(),
            pending: 0,
            counts: Counts::default(),
        }));
        // SAFETY: the hub was just made; it is freed by the last close callback.
        unsafe { (*hub).open(hub) };
        Ok(hub)
    }

    fn open(&mut self, this: *mut Self) {
        let Handles { doorbell, prepare, check, idle } = self.handles;
        // SAFETY: handles of the right sizes, on the loop's own thread; none keeps the loop alive yet.
        unsafe {
            uv::uv_async_init(self.uv_loop, doorbell, on_doorbell);
            uv::uv_prepare_init(self.uv_loop, prepare);
            uv::uv_check_init(self.uv_loop, check);
            uv::uv_idle_init(self.uv_loop, idle);
            for handle in [doorbell, prepare, check, idle] {
                uv::uv_handle_set_data(handle, this.cast());
                uv::uv_unref(handle);
            }
            uv::uv_prepare_start(prepare, on_prepare);
            uv::uv_check_start(check, on_check);
            sys::napi_add_async_cleanup_hook(
                self.calls.env,
                Some(on_cleanup),
                this.cast(),
                &raw mut self.hook,
            );
        }
    }

    /// `words[0]`: 1 while the loop is kept alive.
    pub fn words(&self) -> (*mut u8, usize) {
        (self.words.cast(), 16 * size_of::<u32>())
    }

    pub fn member(&mut self, id: u32) -> Result<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.id == id)
            .ok_or_else(|| format!("there is no runtime {id}").into())
    }

    /// Where the requests of a runtime lie; made for its first instance.
    pub fn open_requests(&mut self, id: u32, process: bool) -> Result<Arc<Requests>> {
        if let Some(requests) = self.requests.get(&id) {
            return Ok(Arc::clone(requests));
        }
        let requests = Arc::new(Requests::new(process)?);
        self.requests.insert(id, Arc::clone(&requests));
        Ok(requests)
    }

    /// The same, where there is one.
    pub fn requests(&self, id: u32) -> Result<&Arc<Requests>> {
        self.requests.get(&id).ok_or_else(|| format!("there is no memory for requests of {id}").into())
    }

    fn alive(&self) -> bool {
        self.pending > 0 || self.members.iter().any(|member| member.outstanding() || member.is_joining())
    }

    fn waiting(&self) -> bool {
        self.members.iter().any(|member| completion::waiting(member.header()))
    }

    fn gather(&self) {
        // With several runtimes there is enough to drain.
        if let [member] = self.members.as_slice() {
            completion::gather(member.header());
        }
    }

    /// Keeps the loop alive from now on.
    pub fn hold(&mut self) {
        // SAFETY: the handle is open; words belong to this thread.
        unsafe {
            uv::uv_ref(self.handles.doorbell);
            self.words.write(1);
        }
    }

    fn let_go_if_alone(&mut self) {
        // SAFETY: as in hold.
        unsafe {
            uv::uv_unref(self.handles.doorbell);
            if uv::uv_loop_alive(self.uv_loop) != 0 {
                uv::uv_ref(self.handles.doorbell);
            } else {
                self.words.write(0);
            }
        }
    }

    /// `words[1]`: 1 while JavaScript drains. What it writes into control rings meanwhile is acted on afterwards,
    /// without a call for each.
    fn draining(&mut self, now: bool) {
        // SAFETY: words live as long as the hub, and belong to this thread.
        unsafe { self.words.add(1).write(now.into()) };
        if now {
            return;
        }
        for member in &self.members {
            if control::waiting(member.header()) {
                member.home.control();
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
                self.counts.helps += u64::from(submission::help(member.header(), member.porch()));
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
        let (header, porch) = (self.members[partner].header(), self.members[partner].porch());
        let spun = spin::spin(longest, &header.host_cpu, &porch.guest_cpu, || self.waiting());
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

    /// Gets ready for the loop to sleep; `false` where completions have come meanwhile.
    fn sleep(&mut self) -> bool {
        self.idle(false);
        for member in &mut self.members {
            member.sweep();
            let header = member.home.block().rings().header;
            spin::publish(&header.host_cpu);
        }
        match (self.alive(), self.held()) {
            (true, false) => self.hold(),
            (false, true) => self.let_go_if_alone(),
            _ => {}
        }
        // SYNC POINT host-sleep
        let mut quiet = true;
        for member in &self.members {
            quiet &= completion::arm(member.header());
            // Only now: a poller that leaves from here on sees that the host sleeps, and helps itself.
            self.counts.helps += u64::from(submission::help(member.header(), member.porch()));
        }
        if !quiet {
            self.wake();
        }
        quiet
    }

    fn wake(&mut self) {
        for member in &self.members {
            completion::disarm(member.header());
        }
    }

    /// A doorbell for a guest in a process of its own.
    pub fn bell(&self) -> Result<Bell> {
        // SAFETY: on the loop's thread. Its drop is there, too, with its member's, and the loop goes on at least until
        // it has closed the hub's own handles, which are closed after it.
        Ok(unsafe { Bell::hang(self.uv_loop) }?)
    }

    /// A runtime has its place in a shared guest. `false`: it is there no more.
    fn settle(&mut self, id: u32, place: Place) -> bool {
        let Some(own) = self.member(id).ok().and_then(|member| member.own.as_mut()) else { return false };
        own.joining = None;
        own.place = Some(place);
        true
    }

    /// Forgets a runtime whose guest is gone; `may_read`: from here alone.
    pub fn remove(&mut self, id: u32, may_read: bool) {
        if let Ok(member) = self.member(id) {
            if let Home::Process(remote) = &member.home {
                // Of one that never got there; JavaScript may hold the block for long.
                remote.close_files();
            }
            if may_read {
                member.abandon();
            }
        }
        self.members.retain(|member| member.id != id);
    }

    /// Takes hold of what a runtime's guest has left to do, and unloads it.
    pub fn unload(&mut self, id: u32) -> Result<()> {
        let member = self.member(id)?;
        let runtime = match &member.home {
            Home::Thread(runtime) => Arc::clone(runtime),
            // Its process is told otherwise, and tells when it has ended.
            Home::Process(remote) => {
                remote.stop();
                return Ok(());
            }
        };
        let lent = (member.lent(), Changing::of(&runtime));
        self.pending += 1;
        self.hold();
        Ok(unload(runtime, self.guests.take(id), lent)?)
    }
}

/// A turn of the loop. JavaScript that it calls comes back into the hub through the exports, so no
/// borrow of the hub lasts across such a call.
///
/// # Safety
/// `hub` is live and this is its thread.
unsafe fn turn(hub: *mut Hub) {
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

/// Tells JavaScript of loads, deaths and unloads.
///
/// # Safety
/// As [`turn`].
unsafe fn deliver(hub: *mut Hub) {
    // SAFETY: as in turn.
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
        if !matches!(event, Event::Died(_)) {
            now().pending = now().pending.saturating_sub(1);
        }
        // What was answered and printed before the event comes before it.
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

/// Tells JavaScript how a runtime fares on its way to a shared guest; not once it was removed.
///
/// # Safety
/// As [`turn`].
unsafe fn deliver_news(hub: *mut Hub, id: u32, news: News) {
    // SAFETY: as in turn.
    let now = || unsafe { &mut *hub };
    let calls = now().calls;
    match news {
        // The socket is closed after the event.
        News::Found(socket) => {
            if now().member(id).is_ok() {
                calls.event(id, "found", 0, &socket.as_raw_fd().to_string());
            }
        }
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

/// # Safety
/// `handle` is one of a hub's, which is freed after the last of them is closed.
unsafe fn hub(handle: *mut uv::Handle) -> *mut Hub {
    // SAFETY: promised by the caller.
    unsafe { uv::uv_handle_get_data(handle).cast() }
}

extern "C" fn on_prepare(handle: *mut uv::Handle) {
    // STOP 8 drain
    // SAFETY: libuv calls back with the hub's own handle, on its thread, one callback at a time.
    unsafe { turn(hub(handle)) };
}

extern "C" fn on_check(handle: *mut uv::Handle) {
    // SAFETY: as in on_prepare.
    unsafe { (*hub(handle)).wake() };
}

extern "C" fn on_idle(_: *mut uv::Handle) {}

/// A guest in a process of its own has woken the loop: what has come is drained in its prepare phase.
extern "C" fn on_doorbell(handle: *mut uv::Handle) {
    // SAFETY: as in on_prepare.
    unsafe { deliver(hub(handle)) };
}

/// The environment ends: no more JavaScript. Guests are told to stop and finish on their own time;
/// what they still use is theirs.
unsafe extern "C" fn on_cleanup(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    let this = data.cast::<Hub>();
    // SAFETY: the hub lives until its last handle is closed.
    let hub = unsafe { &mut *this };
    hub.signals.close();
    let mut guests = hub.guests.end();
    for mut member in hub.members.drain(..) {
        // Other processes end when they hear that this end is gone.
        let Home::Thread(runtime) = &member.home else { continue };
        let runtime = Arc::clone(runtime);
        runtime.abandon();
        let guest =
            guests.iter().position(|(id, _)| *id == member.id).map(|index| guests.swap_remove(index).1);
        let lent = (member.lent(), Changing::of(&runtime));
        // Without a thread for it the guest is left as it is: stopped, its memory never freed.
        let _ = unload(runtime, guest, lent);
    }
    ending::prepare_if_at_work();
    let Handles { doorbell, prepare, check, idle } = hub.handles;
    for handle in [doorbell, prepare, check, idle] {
        hub.closing += 1;
        // SAFETY: open handles, on the loop's thread.
        unsafe { uv::uv_close(handle, Some(on_close)) };
    }
}

extern "C" fn on_close(handle: *mut uv::Handle) {
    // SAFETY: libuv is done with the handle; the hub goes with the last one.
    unsafe {
        let this = uv::uv_handle_get_data(handle).cast::<Hub>();
        (*this).closing -= 1;
        if (*this).closing > 0 {
            return;
        }
        let owned = Box::from_raw(this);
        let Handles { doorbell, prepare, check, idle } = owned.handles;
        uv::free(doorbell, uv::Type::Async);
        uv::free(prepare, uv::Type::Prepare);
        uv::free(check, uv::Type::Check);
        uv::free(idle, uv::Type::Idle);
        sys::napi_remove_async_cleanup_hook(owned.hook);
    }
}
