//! One datagram of the log socket: a name, and descriptors by SCM_RIGHTS.
//!
//! ```text
//! payload       the source's name, at most 512 bytes of it count
//! control data  SCM_RIGHTS: any number of descriptors, each a stream of its own with that name
//! ```

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// Of a longer name, the rest is left out.
const NAME_BYTES: usize = 512;
/// SCM_MAX_FD: the kernel lets nobody send more at once.
const DESCRIPTORS: usize = 253;

/// What came.
#[derive(Debug, Default)]
pub(super) struct Datagram {
    pub(super) name: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    /// More descriptors came than this process may have open.
    pub(super) incomplete: bool,
}

/// The next datagram.
///
/// # Errors
/// [`Errno::AGAIN`] where none is there.
pub(super) fn receive(socket: impl AsFd) -> Result<Datagram, Errno> {
    let mut name = [0; NAME_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut name)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    Ok(Datagram {
        name: name[..received.bytes].to_vec(),
        descriptors,
        incomplete: received.flags.contains(ReturnFlags::CTRUNC),
    })
}
