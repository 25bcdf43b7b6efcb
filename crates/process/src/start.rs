// SPDX-License-Identifier: Apache-2.0
//! Starts a process.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use nix::{
    errno::Errno,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::{
        signal::{self, SigSet, Signal},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::remains::kill_session;

/// Bytes of stack of a thread that waits for a process, and then reads a list.
const STACK: usize = 128 << 10;

/// The processes that were started and are not reaped yet: their numbers are theirs.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// One of them is gone.
static GONE: Condvar = Condvar::new();

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills a process that was started here, if it has not ended.
pub fn kill(pid: u32) {
    send(pid, Signal::SIGKILL);
}

/// Has a process that was started here go on, if somebody has stopped it.
pub fn resume(pid: u32) {
    send(pid, Signal::SIGCONT);
}

/// Waits until a process that was started here has ended, and is reaped with what was to be killed of its session.
pub fn wait(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed());
    let gone = GONE.wait_while(running(), |running| running.contains(&pid));
    drop(gone.unwrap_or_else(PoisonError::into_inner));
}

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed());
    if running().contains(&pid) {
        let _ = signal::kill(pid, signal);
    }
}

/// Starts the program at a path, first of a session of its own from the beginning: what is typed at a terminal does
/// not reach it. It has `files` as its descriptors 0, 1 and so on, no other of ours, and takes signals as any program
/// that a shell starts.
///
/// It is reaped once it has ended, and what is left of its session is killed if it was killed. Which is done on a
/// thread of its own, so that it needs nothing of the thread that has started it.
///
/// # Errors
/// If it cannot be started, or nobody could reap it.
pub fn start<T: AsRef<CStr>>(
    program: &CStr,
    arguments: &[T],
    environment: &[T],
    files: &[BorrowedFd],
) -> io::Result<u32> {
    let (started, wait) = mpsc::channel();
    let reap = move || {
        if let Ok(pid) = wait.recv() {
            reap(pid);
        }
    };
    // First: a process that nobody reaps is not to be started.
    thread::Builder::new().name("polyloop-reaper".into()).stack_size(STACK).spawn(reap)?;
    let pid = {
        let mut running = running();
        let pid = spawn(program, arguments, environment, files)?;
        running.push(pid);
        pid
    };
    let _ = started.send(pid);
    Ok(pid.as_raw().cast_unsigned())
}

fn spawn<T: AsRef<CStr>>(
    program: &CStr,
    arguments: &[T],
    environment: &[T],
    files: &[BorrowedFd],
) -> io::Result<Pid> {
    let count = RawFd::try_from(files.len()).map_err(io::Error::other)?;
    // A number that is one of the new process's is overwritten before its turn may come.
    let is_low = |file: &&BorrowedFd| file.as_raw_fd() < count;
    let copies =
        files.iter().filter(is_low).map(|file| above(*file, count)).collect::<io::Result<Vec<_>>>()?;
    let mut copies = copies.iter();
    let mut actions = PosixSpawnFileActions::init()?;
    for (file, to) in files.iter().zip(0..) {
        let copy = if is_low(&file) { copies.next() } else { None };
        actions.add_dup2(copy.map_or(file.as_raw_fd(), AsRawFd::as_raw_fd), to)?;
    }
    let own_session = PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSID.into());
    let signals = PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(own_session | signals)?;
    attributes.set_sigdefault(&SigSet::all())?;
    attributes.set_sigmask(&SigSet::empty())?;
    Ok(posix_spawn(program, &actions, &attributes, arguments, environment)?)
}

/// A copy of a descriptor at a number that is none of the new process's.
fn above(file: BorrowedFd, count: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a system call on a descriptor that is borrowed.
    let copy = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, count) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and is ours.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Waits for a process, and reaps it when nothing of its session is left.
fn reap(pid: Pid) {
    let status = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            // If it fails somebody else has reaped it.
            status => break status,
        }
    };
    if matches!(status, Ok(WaitStatus::Signaled(..))) {
        kill_session(pid);
    }
    let mut running = running();
    running.retain(|other| *other != pid);
    // It has ended, so that this does not wait.
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
    GONE.notify_all();
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::CString,
        fs::File,
        io::{BufRead, BufReader, Read},
        os::fd::AsFd,
    };

    use super::*;
    use crate::table::Entry;

    /// Runs a script whose descriptors are /dev/null and a pipe, which is returned.
    fn shell(script: &str) -> (Pid, BufReader<File>) {
        let null = File::open("/dev/null").unwrap();
        let (read, write) = io::pipe().unwrap();
        let text = |text: &str| CString::new(text).unwrap();
        let arguments = [text("sh"), text("-c"), text(script)];
        let files = [null.as_fd(), write.as_fd(), write.as_fd(), write.as_fd()];
        let pid = start(c"/bin/sh", &arguments, &[text("OWN=1")], &files).unwrap();
        (Pid::from_raw(pid.cast_signed()), BufReader::new(File::from(OwnedFd::from(read))))
    }

    fn line(from: &mut BufReader<File>) -> String {
        let mut text = String::new();
        from.read_line(&mut text).unwrap();
        text.trim_end().into()
    }

    fn await_end(pid: Pid) {
        while Entry::of(pid).is_some() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_process_leads_a_session_has_its_files_and_its_environment_and_is_reaped() {
        let (pid, mut out) = shell("echo $OWN >&3; read x; cat /proc/self/stat; exit 3");
        assert_eq!(line(&mut out), "1");
        let stat = line(&mut out);
        assert_eq!(stat.split(' ').nth(5), Some(pid.to_string().as_str()), "{stat}");
        await_end(pid);
    }

    #[test]
    fn what_a_killed_process_leaves_in_its_session_is_killed() {
        let (pid, mut out) = shell("sleep 1000 & echo $!; wait");
        let left = Pid::from_raw(line(&mut out).parse().unwrap());
        assert!(Entry::of(left).is_some_and(|entry| entry.session == pid));
        kill(pid.as_raw().cast_unsigned());
        wait(pid.as_raw().cast_unsigned());
        assert_eq!(Entry::of(pid), None);
        // Nobody holds the pipe any more.
        assert_eq!(out.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_no_program_is_refused_and_leaves_nothing() {
        let text = CString::new("none").unwrap();
        let error = start(c"/no/such/program", &[text], &[], &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
