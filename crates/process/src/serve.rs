// SPDX-License-Identifier: Apache-2.0
//! From the first line of the host to the last of the guest.

use std::{
    io::{self, BufRead},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use polyloop_ring::{
    arena::GuestEnd,
    region::{Access, Block, Mapping},
    slab::Slabs,
};
use polyloop_runtime::{Beat, Event, Guest, Host, Runtime, Shared, StartOptions, load, unload};

use crate::life::{Line, Speaker, Start, asks_for_end, take};

/// What the host's process leaves open for this one.
const BLOCK: i32 = 3;
const REQUESTS: i32 = 4;
const RESPONSES: i32 = 5;
const BELL: i32 = 6;
const LIFE: i32 = 7;

/// The host's event loop, in its own process.
struct Loop {
    bell: OwnedFd,
    line: Speaker,
    events: Mutex<Sender<Event>>,
}

impl Host for Loop {
    fn wake(&self) {
        let one = 1u64;
        // SAFETY: our own end of a pipe, and 8 bytes to read. It is rung once for each time that the host's loop sleeps.
        unsafe { libc::write(self.bell.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    fn event(&self, event: Event) {
        self.line.tell(&event);
        // Nobody waits for it once this process is about to end.
        let _ = self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
    }
}

/// The guest once it has started, and its heartbeat.
struct Started {
    guest: Box<dyn Guest>,
    pulse: Option<Pulse>,
}

pub fn serve() -> io::Result<()> {
    // SAFETY: this process was started with these descriptors for this.
    let [block, requests, responses, bell, life] =
        unsafe { [take(BLOCK)?, take(REQUESTS)?, take(RESPONSES)?, take(BELL)?, take(LIFE)?] };
    follow_the_host();
    let mut line = Line::new(life)?;
    let start = line.start()?;
    limit_memory(start.max_memory)?;
    let shared = Shared {
        block: Block::attach(block.as_fd())?,
        slabs: Slabs::of(GuestEnd::attach(responses.as_fd())?),
        requests: Mapping::of(requests.as_fd(), Access::Read)?,
    };
    let (hears, speaker) = line.split();
    let (sender, events) = mpsc::channel();
    let host = Box::new(Loop { bell, line: speaker, events: Mutex::new(sender) });
    let runtime = Arc::new(Runtime::attach(shared, start.max_payload, host));
    let acts = Arc::clone(&runtime);
    thread::Builder::new().name("polyloop-control".into()).spawn(move || acts.act())?;
    let started = Arc::new(Mutex::new(None));
    begin(&runtime, start, Arc::clone(&started))?;
    let listens = Arc::clone(&runtime);
    thread::Builder::new().name("polyloop-life".into()).spawn(move || listen(hears, &listens, &started))?;
    // The guest's death is the host's to act on; what has failed to start or has been closed is over.
    while let Ok(Event::Ready(_) | Event::Died(_)) = events.recv() {}
    Ok(())
}

fn begin(runtime: &Arc<Runtime>, start: Start, started: Arc<Mutex<Option<Started>>>) -> io::Result<()> {
    let Start { library, threads, config, codec, loader, beat, .. } = start;
    let options = StartOptions { threads, config, codec, loader };
    let beats = Arc::clone(runtime);
    let open = move || polyloop_capi::open(&library);
    load(Arc::clone(runtime), options, open, move |guest| {
        // A host that set no interval wants no heartbeat; a guest without one cannot hang unseen by the rest.
        let pulse = guest.beat().filter(|_| beat > 0).map(|feel| Pulse::begin(feel, beats, beat));
        *started.lock().unwrap_or_else(PoisonError::into_inner) = Some(Started { guest, pulse });
    })
}

/// Waits for the host to ask for the end, or to go.
fn listen(mut hears: impl BufRead, runtime: &Arc<Runtime>, started: &Mutex<Option<Started>>) {
    let mut text = String::new();
    while hears.read_line(&mut text).is_ok_and(|bytes| bytes > 0) {
        if asks_for_end(&text) {
            let taken = started.lock().unwrap_or_else(PoisonError::into_inner).take();
            let guest = taken.map(|Started { guest, pulse }| {
                drop(pulse);
                guest
            });
            if let Err(error) = unload(Arc::clone(runtime), guest, ()) {
                eprintln!("polyloop: the guest cannot be ended: {error}");
            }
        }
        text.clear();
    }
    // SAFETY: a system call. The whole group: what the guest has started has no host any more, either.
    unsafe { libc::kill(0, libc::SIGKILL) };
}

/// Has the kernel end this process with its host, and makes it the first of a group of its own: what is typed at a
/// terminal is the host's to hear.
fn follow_the_host() {
    // SAFETY: system calls on this process alone. A host that is gone already has broken the line.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::setpgid(0, 0);
    }
}

/// Limits the memory that this process has for itself: what it shares with the host does not count.
fn limit_memory(bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a system call that reads the limit.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Counts the guest's heartbeats for the host, at an interval, until it is dropped.
struct Pulse {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    fn begin(feel: Beat, runtime: Arc<Runtime>, milliseconds: u64) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut over = stopped.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !*over {
                drop(over);
                feel();
                runtime.block().rings().header.beats.count();
                over = stopped.0.lock().unwrap_or_else(PoisonError::into_inner);
                let interval = Duration::from_millis(milliseconds);
                over = stopped
                    .1
                    .wait_timeout_while(over, interval, |over| !*over)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        };
        // Without a thread there is no heartbeat, and the host takes the guest for one that hangs.
        let thread = thread::Builder::new().name("polyloop-beat".into()).spawn(work).ok();
        Self { stop, thread }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
