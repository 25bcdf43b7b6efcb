// SPDX-License-Identifier: Apache-2.0
//! The guest's process, as its broker sees it: through the process's guard.

use std::{
    env,
    ffi::{CString, OsString},
    io::{self, BufRead, BufReader},
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, ffi::OsStringExt, net::UnixStream, process::ExitStatusExt},
    },
    process::ExitStatus,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use polyloop_connection::packet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::output::Output;
use crate::{descriptors::REFUSAL, guard::Said};

/// How long after it has hung up the end of a process is told; one that lives on hears nobody any more.
const ENDS_AFTER_HANG_UP: Duration = Duration::from_secs(2);

/// How long a guard that is asked to end its process may take; one that cannot run never does.
const GUARD_WITHIN: Duration = Duration::from_secs(2);

/// A host that the guest's process cannot serve.
pub struct Refusal {
    pub number: u64,
    pub why: String,
}

impl Refusal {
    /// What [`crate::child`] writes.
    fn of(packet: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(packet);
        let (number, why) = text.strip_prefix("refuse ")?.split_once(' ')?;
        Some(Self { number: number.parse().ok()?, why: why.into() })
    }
}

/// A process, until its end was told.
pub struct Guest {
    /// The time before the process was started.
    since: SystemTime,
    pid: u32,
    packets: OwnedFd,
    /// Whether the other end of that is open.
    speaks: bool,
    guard: BufReader<UnixStream>,
    guard_pid: u32,
    /// What is done when, if the process has not ended by then.
    overdue: Option<(Instant, Overdue)>,
    /// Whether the process has hung up, and was to be killed for that.
    has_hung_up: bool,
}

/// What is done to a process that should have ended.
#[derive(Clone, Copy)]
enum Overdue {
    /// It has hung up, and lives on: it is killed.
    Process,
    /// Its guard was to kill it, and cannot: the guard is killed, and takes it along.
    Guard,
}

impl Guest {
    /// Starts the process: what runs, and what that prints. It finds its end of the packets, and `parking`, at its
    /// first descriptors, and ends with the thread that starts it.
    pub fn start(command: &[OsString], parking: BorrowedFd<'_>) -> io::Result<(Self, [Output; 2])> {
        let (packets, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let (guard, near) = UnixStream::pair()?;
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        let since = SystemTime::now();
        let guard_pid =
            start_guard(command, &[near.as_fd(), out.as_fd(), err.as_fd(), far.as_fd(), parking])?;
        drop((near, out, err, far));
        let mut guard = BufReader::new(guard);
        let pid = match said(&mut guard)? {
            Said::Started { pid } => pid,
            Said::Unrunnable { missing: true, message } => {
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            Said::Unrunnable { message, .. } => return Err(io::Error::other(message)),
            Said::Exit { .. } => return Err(io::Error::other("its guard has ended")),
        };
        let outputs = [Output::new("stdout", stdout.into()), Output::new("stderr", stderr.into())];
        let guest =
            Self { since, pid, packets, speaks: true, guard, guard_pid, overdue: None, has_hung_up: false };
        Ok((guest, outputs))
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When the guest was started, in milliseconds since 1970: of later changes of its code it
    /// knows nothing.
    pub fn since(&self) -> u64 {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Readable once the process has ended.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.guard.get_ref().as_fd()
    }

    /// Hands the descriptors of a host of this number on.
    pub fn join(&self, number: u64, files: &packet::Files) -> io::Result<()> {
        packet::send(&self.packets, format!("join {number}").as_bytes(), &files.each_ref().map(AsFd::as_fd))
            .map(drop)
    }

    /// Readable if the process says something.
    pub fn packets(&self) -> Option<BorrowedFd<'_>> {
        self.speaks.then(|| self.packets.as_fd())
    }

    /// What the process says, if it does. One that hangs up while it `is_to_serve` is killed if its end is not told next: it
    /// hears nobody any more.
    pub fn hear(&mut self, is_to_serve: bool) -> Option<Refusal> {
        let mut text = [0; REFUSAL];
        let received = packet::receive(&self.packets, &mut text);
        match received {
            Ok(received) if received.bytes > 0 => Refusal::of(&text[..received.bytes]),
            Err(error) if packet::is_not_yet(&error) => None,
            // It has closed its end, or has ended.
            _ => {
                self.speaks = false;
                if is_to_serve {
                    self.overdue.get_or_insert((Instant::now() + ENDS_AFTER_HANG_UP, Overdue::Process));
                }
                None
            }
        }
    }

    /// Has the guest end, within a time that the caller bounds.
    pub fn finish(&self) -> io::Result<()> {
        packet::send(&self.packets, b"end", &[]).map(drop)
    }

    /// Ends the process, and what it has started.
    pub fn kill(&mut self) {
        // A guard that has ended has done so.
        let _ = self.guard.get_ref().shutdown(Shutdown::Write);
        polyloop_process::resume(self.guard_pid);
        if !matches!(self.overdue, Some((_, Overdue::Guard))) {
            self.overdue = Some((Instant::now() + GUARD_WITHIN, Overdue::Guard));
        }
    }

    /// When the process should have ended, if anybody waits for that.
    pub fn deadline(&self) -> Option<Instant> {
        self.overdue.map(|(at, _)| at)
    }

    /// Ends a process that should have ended.
    pub fn expire(&mut self) {
        match self.overdue {
            Some((at, Overdue::Process)) if at <= Instant::now() => {
                self.has_hung_up = true;
                self.kill();
            }
            Some((at, Overdue::Guard)) if at <= Instant::now() => {
                self.overdue = None;
                polyloop_process::kill(self.guard_pid);
            }
            _ => {}
        }
    }

    /// Whether the process had hung up, and was to be killed for that.
    pub fn has_hung_up(&self) -> bool {
        self.has_hung_up
    }

    /// How the process has ended: as its guard says, with which it ends.
    pub fn reap(&mut self) -> ExitStatus {
        self.overdue = None;
        if let Ok(Said::Exit { code, signal }) = said(&mut self.guard) {
            return ExitStatus::from_raw(code.unwrap_or(0) << 8 | signal.unwrap_or(0));
        }
        // The guard was killed: what is left of its session goes before this process may end.
        polyloop_process::wait(self.guard_pid);
        ExitStatus::from_raw(libc::SIGKILL)
    }
}

/// Starts the guard of a process that is to have these descriptors; the first is the guard's own.
fn start_guard(command: &[OsString], files: &[BorrowedFd]) -> io::Result<u32> {
    let program = CString::new(env::current_exe()?.as_os_str().as_bytes())?;
    let verb = [OsString::from("polyloop-guest-process"), "guard".into()];
    let arguments = verb.into_iter().chain(command.iter().cloned()).map(OsString::into_vec).map(CString::new);
    let environment =
        env::vars_os().map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()));
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let environment = environment.collect::<Result<Vec<_>, _>>()?;
    polyloop_process::start(&program, &arguments, &environment, files)
}

/// The next that a guard says.
fn said(guard: &mut BufReader<UnixStream>) -> io::Result<Said> {
    let mut line = String::new();
    guard.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}
