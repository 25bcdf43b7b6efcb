// SPDX-License-Identifier: Apache-2.0
//! The guard of a process: its parent, which leaves nothing of it behind.
//!
//! The guard's descriptor 0 is a socket to who has started the guard; the others are the process's. The guard starts
//! the process in a group of its own and says which number it has, or why it cannot be run, and at the end how it has
//! ended, in a line of JSON each. If the socket's other end is closed, or the thread that has started the guard ends,
//! the process is killed. Once it has ended, in whatever way, all that it has started is killed: the guard adopts what
//! loses its parent, so that nothing gets away by a group or a session of its own. Who withstands SIGTERM has half a second
//! to clean up after the others.
//!
//! If the guard itself is killed the kernel kills the process, and who has started the guard what is left of its
//! session.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, FromRawFd, OwnedFd, RawFd},
        unix::{
            net::UnixStream,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{Pid, setpgid},
};
use polyloop_process::kill_children;
use serde::{Deserialize, Serialize};

/// What the kernel sends, in the host's name, when the thread that has started the guard ends: the one signal by which
/// a guard that somebody has stopped goes on. Of others it says nothing, and other signals are for the host to act on.
const HOST_ENDS: Signal = Signal::SIGCONT;

/// How long the end of what was killed may take before the process's own end is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long those have that clean up after others.
const GRACE: Duration = Duration::from_millis(500);

/// Looks for ends, and leaves them to be reaped.
const PEEK: WaitPidFlag = WaitPidFlag::WEXITED.union(WaitPidFlag::WNOHANG).union(WaitPidFlag::WNOWAIT);

/// What the guard says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Said {
    /// The process runs.
    Started { pid: u32 },
    /// It cannot be run.
    Unrunnable { missing: bool, message: String },
    /// It has ended, and so has what it had started.
    Exit { code: Option<i32>, signal: Option<i32> },
}

/// Guards a process until it has ended. `command`: its program and that one's arguments.
pub fn run(command: &[OsString]) -> io::Result<()> {
    // SAFETY: this process was started with this descriptor for this.
    let line = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    // What was started before the guard is told of by signals, and none of them ends it.
    SigSet::all().thread_block()?;
    let host = Pid::parent();
    let mut heard = SigSet::from(Signal::SIGCHLD);
    heard.add(HOST_ENDS);
    let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    prctl::set_child_subreaper(true)?;
    prctl::set_pdeathsig(HOST_ENDS)?;
    let process = match start(command) {
        Ok(process) => process,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            return say(&line, &Said::Unrunnable { missing, message: error.to_string() });
        }
    };
    // Who hears it may be gone: then the process is killed next.
    let _ = say(&line, &Said::Started { pid: process.as_raw().cast_unsigned() });
    let mut guard = Guard { process, host, line, signals, status: None };
    let_go();
    guard.watch();
    guard.clear();
    Ok(())
}

fn say(mut line: &UnixStream, said: &Said) -> io::Result<()> {
    line.write_all(format!("{}\n", serde_json::to_string(said)?).as_bytes())
}

/// Starts the process, which has the guard's descriptors but for the first.
fn start(command: &[OsString]) -> io::Result<Pid> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // SAFETY: system calls on the new process alone, between fork and exec.
    unsafe { command.pre_exec(prepare) };
    Ok(Pid::from_raw(command.spawn()?.id().cast_signed()))
}

/// Between fork and exec: the process goes with its guard, leads a group, and hears signals.
fn prepare() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // What cannot have a group is killed one by one.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    Ok(())
}

/// Closes what is the process's: its streams end with it, and its memory goes.
fn let_go() {
    for number in inherited() {
        // SAFETY: nothing in this process uses the descriptor, which the process was started with; those of the guard's
        // own are closed at exec, and so are not among these.
        unsafe { libc::close(number) };
    }
}

/// The descriptors that the process has inherited.
fn inherited() -> Vec<RawFd> {
    let names = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = names.filter_map(|name| name.file_name().to_str()?.parse().ok());
    let is_inherited = |number: &RawFd| {
        // SAFETY: a system call on a number.
        let flags = unsafe { libc::fcntl(*number, libc::F_GETFD) };
        *number > 0 && flags >= 0 && flags & libc::FD_CLOEXEC == 0
    };
    numbers.filter(is_inherited).collect()
}

struct Guard {
    process: Pid,
    /// The process that has started the guard.
    host: Pid,
    line: UnixStream,
    signals: SignalFd,
    /// How the process has ended.
    status: Option<ExitStatus>,
}

impl Guard {
    /// Waits until the process has ended, or is to, and kills it. What it has started is its guard's from then on.
    fn watch(&mut self) {
        while !self.has_ended() && !self.is_to_end() {
            self.reap_others();
        }
        // DEATH 1 end
        // Nobody else reaps it, so that the number is still its own.
        let _ = kill(self.process, Signal::SIGKILL);
    }

    /// Whether the process has ended; it is not reaped by this.
    fn has_ended(&self) -> bool {
        !matches!(waitid(Id::Pid(self.process), PEEK), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }

    /// Waits for a signal or the end of the line; whether the process is to end.
    fn is_to_end(&mut self) -> bool {
        let mut files =
            [self.signals.as_fd(), self.line.as_fd()].map(|file| PollFd::new(file, PollFlags::POLLIN));
        let _ = poll(&mut files, PollTimeout::NONE);
        let is_line = files[1].any() == Some(true);
        let has_host = !is_line || self.hears();
        !has_host | self.take_signals()
    }

    /// Whether somebody is at the other end of the line, where nothing is said.
    fn hears(&mut self) -> bool {
        match self.line.read(&mut [0; 64]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    /// Takes the signals that have come; whether the host's end is among them.
    fn take_signals(&self) -> bool {
        let mut is_over = false;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let from = Pid::from_raw(signal.ssi_pid.cast_signed());
            is_over |= signal.ssi_signo == HOST_ENDS as u32 && from == self.host;
        }
        is_over
    }

    /// Reaps what was adopted and has ended.
    fn reap_others(&self) {
        while let Some(pid) = waitid(Id::All, PEEK).ok().and_then(|status| status.pid()) {
            if pid == self.process {
                return;
            }
            let _ = waitpid(pid, None);
        }
    }

    /// Kills all that is left, and tells how the process has ended.
    fn clear(&mut self) {
        let since = Instant::now();
        let mut is_told = false;
        // Each that is killed leaves its own to the guard.
        while self.reap_all() && kill_children(since.elapsed() < GRACE) {
            let left = PATIENCE.saturating_sub(since.elapsed());
            if left.is_zero() && !std::mem::replace(&mut is_told, true) {
                self.tell();
            }
            let grace = GRACE.saturating_sub(since.elapsed());
            let next = if grace.is_zero() { left } else { grace };
            let timeout = PollTimeout::try_from(next).ok().filter(|_| !is_told);
            let mut files = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut files, timeout.unwrap_or(PollTimeout::NONE));
            self.take_signals();
        }
        if !is_told {
            self.tell();
        }
    }

    /// Reaps all that have ended; whether there are others.
    fn reap_all(&mut self) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: a system call that fills the number.
            match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
                0 => return true,
                pid if pid == self.process.as_raw() => self.status = Some(ExitStatus::from_raw(status)),
                pid if pid < 0 => return false,
                _ => {}
            }
        }
    }

    fn tell(&self) {
        let (code, signal) = self.status.map_or((None, None), |status| (status.code(), status.signal()));
        // Who hears it may be gone.
        let _ = say(&self.line, &Said::Exit { code, signal });
    }
}
