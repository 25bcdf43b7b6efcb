// SPDX-License-Identifier: Apache-2.0
//! Messages with descriptors, over a unix socket.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
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

/// Receives a message: how many bytes of it, none at the end, and its descriptors.
///
/// # Errors
/// What the kernel says, also that the call was interrupted, or that no message has come yet.
pub fn receive(socket: impl AsFd, text: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(socket, &mut [IoSliceMut::new(text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let files = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        })
        .flatten()
        .collect();
    Ok((read, files))
}
