// SPDX-License-Identifier: Apache-2.0
//! From the first line of the host to the last of the guest.

use std::{
    io::{self, BufRead},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use polyloop_connection::{Connection, Event, Guest, Host, Shared, StartOptions, TaskSource, load, unload};
use polyloop_ring::{
    arena::GuestEnd,
    region::{Access, Block, Mapping},
    slab::Slabs,
};

use crate::{
    child::lifeline::{Lifeline, Speaker, Start, asks_for_end},
    descriptors::{FIRST, take},
};

/// How long one of several hosts may not read what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host's event loop, in its own process.
struct Loop {
    bell: OwnedFd,
    line: Speaker,
    events: Option<Mutex<Sender<Event>>>,
}

impl Host for Loop {
    fn wake(&self) {
        let one = 1u64;
        // SAFETY: our own end of a pipe, and 8 bytes to read. A host is woken once for each time
        // that its loop sleeps.
        let written =
            unsafe { libc::write(self.bell.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
        if written < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF) {
            // Nothing would wake the host: its calls would hang.
            eprintln!(
                "polyloop: the guest has closed a descriptor that it has not opened (by os.closerange, say), and cannot be \
                 served any more"
            );
            end_process();
        }
    }

    fn event(&self, event: Event) {
        self.line.tell(&event);
        if let Some(events) = &self.events {
            // Nobody waits for events once this process is about to end.
            let _ = events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
        }
    }
}

/// Serves the one host that has started this process.
pub fn serve_one() -> io::Result<()> {
    // SAFETY: this process was started with these descriptors for this.
    let [block, requests, responses, bell, lifeline] = [0, 1, 2, 3, 4].map(|at| unsafe { take(FIRST + at) });
    let memory = [block?, requests?, responses?];
    let (sender, events) = mpsc::channel();
    let (connection, start, hears) = attach(&memory, bell?, lifeline?, Some(sender))?;
    let guest = Kept::default();
    guest.begin(&connection, start, beat_of_one)?;
    let listens = Arc::clone(&connection);
    thread::Builder::new().name("polyloop-line".into()).spawn(move || {
        listen(hears, || guest.end(&listens));
        end_process();
    })?;
    wait(&events);
    Ok(())
}

/// Waits until the guest has failed to start, or has ended. Its death is the host's to act on.
pub fn wait(events: &Receiver<Event>) {
    while let Ok(Event::Ready(_) | Event::Died(_)) = events.recv() {}
}

/// The connection of a host, what it wants loaded, and what it says from then on. `events`: who
/// else is told of them, if this is the only host.
pub fn attach(
    [block, requests, responses]: &[OwnedFd; 3],
    bell: OwnedFd,
    lifeline: OwnedFd,
    events: Option<Sender<Event>>,
) -> io::Result<(Arc<Connection>, Start, impl BufRead + Send + use<>)> {
    let mut line = Lifeline::new(lifeline, events.is_none().then_some(PATIENCE))?;
    let start = line.start()?;
    let shared = Shared {
        block: Block::attach(block.as_fd())?,
        slabs: Slabs::of(GuestEnd::attach(responses.as_fd())?),
        requests: Mapping::of(requests.as_fd(), Access::Read)?,
    };
    let (hears, speaker) = line.split();
    let host = Box::new(Loop { bell, line: speaker, events: events.map(Mutex::new) });
    let connection = Arc::new(Connection::attach(shared, start.max_payload, host));
    let acts = Arc::clone(&connection);
    thread::Builder::new().name("polyloop-control".into()).spawn(move || acts.act())?;
    Ok((connection, start, hears))
}

/// Reads what a host says, until it has gone.
pub fn listen(mut hears: impl BufRead, mut end: impl FnMut()) {
    let mut text = String::new();
    while hears.read_line(&mut text).is_ok_and(|bytes| bytes > 0) {
        if asks_for_end(&text) {
            end();
        }
        text.clear();
    }
}

/// Ends this process, which has no host any more: its guard ends what the guest has started.
pub fn end_process() {
    // SAFETY: a system call.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Keeps the guest once it has started, and its heartbeat.
pub struct Kept<S>(Arc<Mutex<Option<Started<S>>>>);

struct Started<S> {
    guest: Box<dyn Guest<S>>,
    pulse: Option<Pulse>,
}

impl<S> Default for Kept<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S: TaskSource> Kept<S> {
    /// Loads the guest; the source hears how it went. `count`: counts a heartbeat.
    pub fn begin(&self, source: &Arc<S>, start: Start, count: fn(&S)) -> io::Result<()> {
        let Start { library, threads, config, codec, loader, beat, max_memory, .. } = start;
        limit_memory(max_memory)?;
        let options = StartOptions { threads, config, codec, loader };
        let (beats, started) = (Arc::clone(source), Arc::clone(&self.0));
        let open = move || polyloop_guest_library::open(&library);
        load(Arc::clone(source), options, open, move |guest| {
            // A host that set no interval wants no heartbeat; a guest without one can run code
            // whenever its process can.
            let pulse = (beat > 0).then(|| {
                let feel = guest.beat();
                let pulse = move || {
                    if let Some(feel) = &feel {
                        feel();
                    }
                    count(&beats);
                };
                Pulse::begin(pulse, beat)
            });
            *started.lock().unwrap_or_else(PoisonError::into_inner) = Some(Started { guest, pulse });
        })
    }

    /// Unloads the guest; the source hears when it has ended.
    pub fn end(&self, source: &Arc<S>) {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let guest = taken.map(|Started { guest, pulse }| {
            drop(pulse);
            guest
        });
        if let Err(error) = unload(Arc::clone(source), || (guest, ())) {
            eprintln!("polyloop: the guest cannot be ended: {error}");
        }
    }
}

fn beat_of_one(connection: &Connection) {
    connection.block().rings().header.beats.count();
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

/// Feels the guest's heartbeat at an interval, until it is dropped.
struct Pulse {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    fn begin(feel: impl Fn() + Send + 'static, milliseconds: u64) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let work = move || {
            let mut over = stopped.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !*over {
                drop(over);
                feel();
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
