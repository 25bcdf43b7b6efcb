// SPDX-License-Identifier: Apache-2.0
//! Where hosts find the broker of a guest that they share: a unix socket at a path, in a folder
//! that nobody but their user can enter, so that no other user or container can listen there first.
//!
//! A socket's file outlives a broker that was killed. Whoever finds that nobody listens replaces
//! the file, or removes it, and has the folder's lock meanwhile, so that no two do. The lock is
//! gone with the process that has it. Nothing here waits for somebody who listens, or for longer than
//! a moment for who has the lock.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::DirBuilder,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::DirBuilderExt, net::UnixStream},
    },
    path::{self, Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, openat, stat, unlinkat},
    io::Errno,
    net::{
        AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, shutdown,
        socket_with,
    },
    process::geteuid,
};

/// What to do about a folder that cannot be used.
const ADVICE: &str = "remove it, or set XDG_RUNTIME_DIR to a folder of your own that nobody else can write";
const MISSING: &str = "make it, set TMPDIR to one that exists, or XDG_RUNTIME_DIR to a folder of your own";
const FULL: &str = "free some space there, or set XDG_RUNTIME_DIR to a folder of your own";

/// How often a look whether a file can be removed is repeated if others are at it, and the pause in
/// between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// The path of a socket.
#[derive(Clone, Debug)]
pub struct Address {
    folder: PathBuf,
    name: OsString,
}

/// What a look for somebody who listens has found.
#[derive(Debug)]
pub enum Found {
    /// A connection, which does not block.
    Connected(UnixStream),
    /// Somebody who takes nobody at the moment.
    Busy,
    /// Nobody.
    Nobody,
}

/// The folder, which nobody else changes while this is there.
struct Locked(OwnedFd);

impl Drop for Locked {
    fn drop(&mut self) {
        // A program that this process starts at the moment has the descriptor for some time, too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Address {
    /// The address of this name in the folder of this user, which is made if it is not there.
    ///
    /// # Errors
    /// If there is no folder that is safe.
    pub fn of(name: &str) -> io::Result<Self> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::in_folder_of(runtime.as_deref(), &env::temp_dir(), name)
    }

    /// The same with these folders: that of what this user runs, and that of temporary files.
    ///
    /// # Errors
    /// If there is no folder that is safe.
    pub fn in_folder_of(runtime: Option<&Path>, temporary: &Path, name: &str) -> io::Result<Self> {
        let folder = match runtime.filter(|folder| is_own(folder)).map(|folder| made(folder.join("polyloop")))
        {
            Some(Ok(folder)) => folder,
            // It may be there to be read alone.
            Some(Err(error)) if !is_unwritable(&error) => return Err(error),
            _ => made(temporary_folder(temporary)?)?,
        };
        Ok(Self { folder, name: name.into() })
    }

    /// The address that another process has found.
    ///
    /// # Errors
    /// If that is no path of a socket.
    pub fn at(path: &OsStr) -> io::Result<Self> {
        let path = Path::new(path);
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) if path.is_absolute() => {
                Ok(Self { folder: folder.into(), name: name.into() })
            }
            _ => Err(io::Error::other("it takes the whole path of a socket")),
        }
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Looks for somebody who listens.
    ///
    /// # Errors
    /// If the folder is not safe, and what the kernel says.
    pub fn reach(&self) -> io::Result<Found> {
        match opened(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nobody),
            folder => self.look(&folder?),
        }
    }

    fn look(&self, folder: &OwnedFd) -> io::Result<Found> {
        let socket = socket()?;
        match connect(&socket, &self.of_socket(folder)?) {
            Ok(()) => Ok(Found::Connected(socket.into())),
            Err(Errno::AGAIN) => Ok(Found::Busy),
            Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(Found::Nobody),
            Err(error) => Err(self.explained(&error.into())),
        }
    }

    /// Listens, if nobody does. Nothing if somebody does by now, or is about to.
    ///
    /// # Errors
    /// If the folder is not safe, and what the kernel says.
    pub fn listen(&self) -> io::Result<Option<OwnedFd>> {
        made(self.folder.clone())?;
        let Some(lock) = self.lock()? else { return Ok(None) };
        let folder = &lock.0;
        if !matches!(self.look(folder)?, Found::Nobody) {
            return Ok(None);
        }
        self.unlink(folder)?;
        let socket = socket()?;
        // What is bound gets the mode of the socket.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &self.of_socket(folder)?).map_err(|error| self.explained(&error.into()))?;
        listen(&socket, -1)?;
        Ok(Some(socket))
    }

    /// Listens no more, and removes the file. Others that have the socket, too, do not listen any
    /// more, either.
    pub fn close(&self, listener: impl Into<OwnedFd>) {
        let listener = listener.into();
        // A program that this process starts at the moment has the descriptor for some time, too.
        let _ = shutdown(&listener, Shutdown::Both);
        drop(listener);
        self.clear();
    }

    /// Removes the file, unless somebody listens. A file that cannot be removed harms nobody:
    /// whoever comes next replaces it.
    pub fn clear(&self) {
        for _ in 0..TRIES {
            match self.try_to_clear() {
                Ok(false) => thread::sleep(PAUSE),
                Ok(true) | Err(_) => return,
            }
        }
    }

    /// `false`: somebody else is at it, and may be about to listen.
    fn try_to_clear(&self) -> io::Result<bool> {
        let Some(lock) = self.lock()? else { return Ok(false) };
        if matches!(self.look(&lock.0)?, Found::Nobody) {
            self.unlink(&lock.0)?;
        }
        Ok(true)
    }

    fn lock(&self) -> io::Result<Option<Locked>> {
        let folder = opened(&self.folder)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Locked(folder))),
            Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn unlink(&self, folder: &OwnedFd) -> io::Result<()> {
        match unlinkat(folder, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.explained(&error.into())),
        }
    }

    /// As a socket's address, which holds a hundred bytes and some: a longer path leads through the
    /// open folder.
    fn of_socket(&self, folder: &OwnedFd) -> io::Result<SocketAddrUnix> {
        let through = || {
            let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
            SocketAddrUnix::new(Path::new(&folder).join(&self.name))
        };
        SocketAddrUnix::new(self.path()).or_else(|_| through()).map_err(|error| self.explained(&error.into()))
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("'{}': {error}", self.path().display()))
    }
}

/// A folder of ours, where nobody else can put anything.
fn is_own(folder: &Path) -> bool {
    let is_safe = |stat: &Stat| stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    folder.is_absolute() && stat(folder).is_ok_and(|stat| is_safe(&stat))
}

/// Where the folder of this user is if there is none for what runs: among those of other users.
fn temporary_folder(temporary: &Path) -> io::Result<PathBuf> {
    let temporary = path::absolute(temporary)?;
    let mode = stat(&temporary).map_err(io::Error::from).map_err(|error| named(&temporary, &error))?.st_mode;
    if mode & 0o022 != 0 && mode & libc::S_ISVTX == 0 {
        let what = "others can remove what this user has there";
        return Err(io::Error::other(format!("'{}': {what}: set its sticky bit", temporary.display())));
    }
    Ok(temporary.join(format!("polyloop-{}", geteuid().as_raw())))
}

fn is_unwritable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

/// Makes a folder, unless it is there, and looks whether it is safe.
fn made(folder: PathBuf) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(&folder, &error)),
        _ => {}
    }
    opened(&folder).map(|_| folder)
}

/// Opens a folder that nobody else can enter.
fn opened(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags, Mode::empty()).map_err(|error| named(folder, &error.into()))?;
    let stat = fstat(&opened)?;
    let what = match (stat.st_uid, stat.st_mode & 0o077) {
        (owner, _) if owner != geteuid().as_raw() => format!("belongs to user {owner}"),
        (_, 0) => return Ok(opened),
        _ => "is open to other users".into(),
    };
    let why = format!("hosts that share a guest meet in '{}', which {what}: {ADVICE}", folder.display());
    Err(io::Error::other(why))
}

fn named(folder: &Path, error: &io::Error) -> io::Error {
    let why = format!("hosts that share a guest cannot meet in '{}': {error}", folder.display());
    let advice = match error.raw_os_error() {
        // This process is short of something: the folder is not to blame.
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => return io::Error::new(error.kind(), why),
        Some(libc::ENOENT) => MISSING,
        Some(libc::ENOSPC | libc::EDQUOT) => FULL,
        _ => ADVICE,
    };
    io::Error::new(error.kind(), format!("{why}: {advice}"))
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}
