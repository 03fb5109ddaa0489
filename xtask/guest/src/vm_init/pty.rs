//! Receiving a container's terminal: runc sends the pty's master over a unix socket.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

pub struct ConsoleSocket(UnixListener);

impl ConsoleSocket {
    pub fn bind(path: &Path) -> Result<Self> {
        Ok(Self(UnixListener::bind(path).with_context(|| format!("cannot bind {}", path.display()))?))
    }

    /// The master that runc has sent; it does so before `runc run --detach` returns.
    pub fn receive(&self) -> Result<OwnedFd> {
        let (connection, _) = self.0.accept()?;
        let mut name = [0; 256];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&connection, &mut [IoSliceMut::new(&mut name)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        ancillary
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            })
            .context("runc sent no terminal")
    }
}
