// SPDX-License-Identifier: Apache-2.0
//! `polyloop_guest_beat`: it returns if the guest can run code, and while it cannot it does not.

use super::{Case, Env};
use crate::host::{Input, Output, Reply, Runtime};
use serde_json::{Value, json};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

pub const ALL: &[Case] = &[
    ("beat_idle", idle),
    ("beat_gil", gil),
    ("beat_loop", blocked_loop),
    ("beat_ended", ended),
    ("beat_busy", busy),
];

/// Longer than any wait for a beat that comes.
const PATIENCE: Duration = Duration::from_mins(5);
/// How long a beat is watched that must not come: it never does, however long that is.
const WATCHED: Duration = Duration::from_millis(300);

pub const SOURCE: &str = r"
import asyncio
import ctypes
import sys


def hold_gil(function): return ctypes.PYFUNCTYPE(ctypes.c_int)(function)()
async def block_loop(function): return ctypes.CFUNCTYPE(ctypes.c_int)(function)()
async def block_and_stop(function):
    asyncio.get_running_loop().stop()
    return ctypes.CFUNCTYPE(ctypes.c_int)(function)()
async def stop_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(60)
async def spin(turns):
    for _ in range(turns):
        await asyncio.sleep(0)
def echo(value): return value
def blocks(): return sys.getallocatedblocks()
";

const WITHOUT_LOOP: &str = r"
import ctypes


def hold_gil(function): return ctypes.PYFUNCTYPE(ctypes.c_int)(function)()
def echo(value): return value
";

/// Both ends of a C function that the guest calls: it says that it runs, and waits to be let go.
static STAGE: Mutex<Option<(Sender<()>, Receiver<()>)>> = Mutex::new(None);

extern "C" fn stand_still() -> i32 {
    let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (arrived, leave) = stage.expect("a stage is set");
    arrived.send(()).expect("the case waits");
    leave.recv_timeout(PATIENCE).map_or(1, |()| 0)
}

/// A call of the guest's that stands still in C.
pub struct Still<'a> {
    guest: &'a Runtime,
    call: u64,
    leave: Sender<()>,
}

impl<'a> Still<'a> {
    /// Has `name` call the C function, and waits until it does.
    pub fn begin(guest: &'a Runtime, name: &str) -> Self {
        let (arrived, arrival) = channel();
        let (leave, leaving) = channel();
        *STAGE.lock().unwrap_or_else(PoisonError::into_inner) = Some((arrived, leaving));
        let address = (stand_still as *const () as usize).to_string();
        let call = guest.post(name, &Input::One(address.as_bytes()));
        arrival.recv_timeout(PATIENCE).expect("the function is called");
        Self { guest, call, leave }
    }

    /// Lets it go on; answers what the call was answered with.
    pub fn end(self) -> Reply {
        self.leave.send(()).expect("the function waits");
        self.guest.wait(self.call)
    }
}

/// Asks for a beat on a thread of its own; tells when it came.
fn beat<'scope>(scope: &'scope Scope<'scope, '_>, guest: &'scope Runtime) -> Receiver<()> {
    let (sender, receiver) = channel();
    scope.spawn(move || {
        guest.beat();
        // Whether anybody still listens is for the case to say.
        let _ = sender.send(());
    });
    receiver
}

fn came(beat: &Receiver<()>) {
    beat.recv_timeout(PATIENCE).expect("the guest can run code");
}

fn has_not_come(beat: &Receiver<()>) {
    beat.recv_timeout(WATCHED).expect_err("the guest cannot run code");
}

/// A beat by which the guest hangs would hang the case: the test's watchdog ends it.
fn idle(env: &Env) {
    let guest = env.write_and_load(SOURCE).expect("loads");
    let beat_often = || (0..500).for_each(|_| guest.beat());
    let left = || guest.ask("blocks", &json!([])).as_i64().expect("a number");
    beat_often();
    let before = left();
    beat_often();
    beat_often();
    let grown = left() - before;
    assert!(grown < 100, "1000 beats left {grown} blocks of memory");
    guest.unload();

    // Without a loop, too.
    let guest = env.write_and_load(WITHOUT_LOOP).expect("loads");
    guest.beat();
    assert_eq!(guest.ask("echo", &json!([1])), 1);
    guest.beat();
    // A guest that is told to stop still runs code, for its calls in flight.
    guest.stop();
    guest.beat();
    guest.unload();
    let guest = env.write_and_load(SOURCE).expect("loads");
    guest.stop();
    guest.beat();
    guest.unload();
}

fn gil(env: &Env) {
    for source in [SOURCE, WITHOUT_LOOP] {
        let guest = env.write_and_load(source).expect("loads");
        let still = Still::begin(&guest, "hold_gil");
        std::thread::scope(|scope| {
            let beat = beat(scope, &guest);
            has_not_come(&beat);
            assert_eq!(still.end(), Ok(Output::Encoded(b"0".to_vec())));
            came(&beat);
        });
        guest.beat();
        guest.unload();
    }
}

fn blocked_loop(env: &Env) {
    let guest = env.write_and_load(SOURCE).expect("loads");
    let still = Still::begin(&guest, "block_loop");
    std::thread::scope(|scope| {
        let beats = [beat(scope, &guest), beat(scope, &guest)];
        has_not_come(&beats[0]);
        has_not_come(&beats[1]);
        // The GIL is free: it is the loop that hangs.
        assert_eq!(guest.ask("echo", &json!([1])), 1);
        assert_eq!(still.end(), Ok(Output::Encoded(b"0".to_vec())));
        beats.iter().for_each(came);
    });
    guest.beat();
    guest.unload();
}

fn ended(env: &Env) {
    let guest = env.write_and_load(SOURCE).expect("loads");
    let stopper = guest.post("stop_loop", &Input::Empty);
    guest.wait(stopper).expect_err("its loop is no more");
    guest.beat();
    assert_eq!(guest.ask("echo", &json!([1])), 1, "the pool lives");
    guest.unload();

    // One that waits for a loop which then ends.
    let guest = env.write_and_load(SOURCE).expect("loads");
    let still = Still::begin(&guest, "block_and_stop");
    std::thread::scope(|scope| {
        let beat = beat(scope, &guest);
        has_not_come(&beat);
        still.leave.send(()).expect("the function waits");
        came(&beat);
    });
    guest.failure();
    guest.beat();
    guest.unload();
}

/// Beats among calls of all kinds: each is answered, and every beat comes.
fn busy(env: &Env) {
    let guest = env.write_and_load(SOURCE).expect("loads");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..200).for_each(|_| guest.beat()));
        }
        for number in 0..200 {
            assert_eq!(guest.ask("spin", &json!([20])), Value::Null);
            assert_eq!(guest.ask("echo", &json!([number])), number);
        }
    });
    guest.unload();
}
