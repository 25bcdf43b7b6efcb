// SPDX-License-Identifier: Apache-2.0
//! Messages with descriptors, over a unix socket.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
};

/// What a host shares with a guest in another process: block, requests, responses, bell, lifeline.
pub type Files = [OwnedFd; FILES];

/// Most descriptors of one message.
const FILES: usize = 5;

/// Whether the process at the other end is one of this user.
///
/// # Errors
/// What the kernel says.
pub fn is_ours(socket: impl AsFd) -> io::Result<bool> {
    Ok(socket_peercred(socket)?.uid == rustix::process::geteuid())
}

/// Whether nothing has come yet: that is no failure, and the caller may try again.
pub fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether the other end has gone, or is about to.
pub fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

/// Sends a message without waiting for who takes none: bytes that were sent.
///
/// # Errors
/// What the kernel says, and that there are too many descriptors.
pub fn send(socket: impl AsFd, text: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(sendmsg(socket, &[IoSlice::new(text)], &mut ancillary, flags)?)
}

/// A message that has come.
pub struct Received {
    /// Bytes of it; none at the end.
    pub bytes: usize,
    /// Its descriptors, or some of them.
    pub files: Vec<OwnedFd>,
    /// Whether this process had no descriptors left for all of them.
    pub is_cut: bool,
}

/// Receives a message.
///
/// # Errors
/// What the kernel says, also that the call was interrupted, or that no message has come yet.
pub fn receive(socket: impl AsFd, text: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let files = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    Ok(Received { bytes: received.bytes, files, is_cut: received.flags.contains(ReturnFlags::CTRUNC) })
}
