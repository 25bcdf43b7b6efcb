// SPDX-License-Identifier: Apache-2.0
//! The guest's process, as its broker sees it.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use polyloop_connection::packet;
use polyloop_ring::region::ParkingWords;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::output::Output;
use crate::descriptors::{FIRST, PARKING, REFUSAL, take};

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
    child: Child,
    packets: OwnedFd,
    /// Whether the other end of that is open.
    speaks: bool,
    /// Its far end is closed when the process has ended.
    end: UnixStream,
}

impl Guest {
    /// Starts the process: what runs, and what that prints. The parking words are this process's
    /// descriptor [`PARKING`]. The guest ends with the thread that starts it.
    pub fn start(command: &[OsString]) -> io::Result<(Self, [Output; 2])> {
        let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no program"))?;
        let (packets, far) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let socket = far.as_raw_fd();
        // SAFETY: system calls alone, between fork and exec. Both numbers are taken in this
        // process, so that nothing of the standard library's is there.
        unsafe { command.pre_exec(move || prepare(socket)) };
        let since = SystemTime::now();
        let mut child = command.spawn()?;
        let streams = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = streams else { return Err(io::Error::other("no pipes")) };
        let outputs = [Output::new("stdout", stdout.into()), Output::new("stderr", stderr.into())];
        let (end, far) = UnixStream::pair()?;
        let pid = child.id();
        thread::Builder::new().name("polyloop-end".into()).spawn(move || {
            await_end(pid);
            drop(far);
        })?;
        Ok((Self { since, child, packets, speaks: true, end }, outputs))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When the guest was started, in milliseconds since 1970: of later changes of its code it
    /// knows nothing.
    pub fn since(&self) -> u64 {
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Readable once the process has ended.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
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

    /// Ends the process, and those of its group that it started. Not to be called once the process
    /// was reaped: its number may be another's.
    pub fn kill(&self) {
        // SAFETY: a system call.
        unsafe { libc::kill(-self.child.id().cast_signed(), libc::SIGKILL) };
    }

    /// How the process has ended.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        self.child.wait()
    }
}

/// New parking words, at the number where the guest's process looks for them.
pub fn parking() -> io::Result<OwnedFd> {
    let (_, file) = ParkingWords::new()?;
    if file.as_raw_fd() == PARKING {
        return Ok(file);
    }
    // SAFETY: a system call; what this process has inherited at that number is nobody's.
    if unsafe { libc::dup3(file.as_raw_fd(), PARKING, libc::O_CLOEXEC) } != PARKING {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and is ours.
    unsafe { take(PARKING) }
}

/// Between fork and exec: the process goes with its broker, leads a group, and has its two
/// descriptors.
fn prepare(socket: RawFd) -> io::Result<()> {
    // SAFETY: system calls on this process alone, and on descriptors of its own.
    let done = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0
            && libc::setpgid(0, 0) == 0
            && libc::dup2(socket, FIRST) == FIRST
            && libc::fcntl(PARKING, libc::F_SETFD, 0) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Waits until a child has ended, and leaves it to be reaped.
fn await_end(pid: u32) {
    loop {
        // SAFETY: a siginfo is plain numbers, which waitid fills.
        let done = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
        };
        if done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}
