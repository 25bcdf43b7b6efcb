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
    time::{SystemTime, UNIX_EPOCH},
};

use polyloop_connection::packet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::output::Output;
use crate::{descriptors::REFUSAL, guard::Said};

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
        Ok((Self { since, pid, packets, speaks: true, guard }, outputs))
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

    /// What the process says, if it does.
    pub fn hear(&mut self) -> Option<Refusal> {
        let mut text = [0; REFUSAL];
        let received = packet::receive(&self.packets, &mut text);
        match received {
            Ok(received) if received.bytes > 0 => Refusal::of(&text[..received.bytes]),
            Err(error) if packet::is_not_yet(&error) => None,
            // It has closed its end, or has ended.
            _ => {
                self.speaks = false;
                None
            }
        }
    }

    /// Has the guest end.
    pub fn finish(&self) -> io::Result<()> {
        packet::send(&self.packets, b"end", &[]).map(drop)
    }

    /// Ends the process, and what it has started.
    pub fn kill(&self) {
        // A guard that has ended has done so.
        let _ = self.guard.get_ref().shutdown(Shutdown::Write);
    }

    /// How the process has ended: as its guard says, with which it ends.
    pub fn reap(&mut self) -> ExitStatus {
        let (code, signal) = match said(&mut self.guard) {
            Ok(Said::Exit { code, signal }) => (code.unwrap_or(0), signal.unwrap_or(0)),
            _ => (0, libc::SIGKILL),
        };
        ExitStatus::from_raw(code << 8 | signal)
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
