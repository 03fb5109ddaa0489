//! A send through io_uring that owns what it sends.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::{cqueue, opcode, squeue, types};
use socket2::Socket;
use tokio_uring::{OneshotOutputTransform, UnsubmittedOneshot};

use super::payload::Payload;

/// What must outlive the operation: a dropped future leaves it running.
struct SendData {
    _socket: Rc<Socket>,
    payload: Payload,
    _message: Option<Box<Message>>,
}

/// Pieces of a payload as the kernel wants them; boxed, because the one points to the other.
struct Message {
    header: libc::msghdr,
    pieces: [libc::iovec; super::MOST_PIECES],
}

struct SendResult;

impl OneshotOutputTransform for SendResult {
    type Output = (io::Result<usize>, Payload);
    type StoredData = SendData;

    fn transform_oneshot_output(self, data: SendData, entry: cqueue::Entry) -> Self::Output {
        let result = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        (result, data.payload)
    }
}

/// Sends `payload` from `from` on, waiting until the socket takes at least a part of it.
///
/// # Panics
/// Outside of an io_uring runtime.
pub(super) async fn send(socket: Rc<Socket>, payload: Payload, from: usize) -> (io::Result<usize>, Payload) {
    // The heap blocks that the pieces point into stay where they are, and as they are, while `SendData` owns the
    // payload; so does the message.
    let (entry, message) = entry(&socket, &payload, from);
    let data = SendData { _socket: socket, payload, _message: message };
    UnsubmittedOneshot::new(data, SendResult, entry).submit().await
}

fn entry(socket: &Socket, payload: &Payload, from: usize) -> (squeue::Entry, Option<Box<Message>>) {
    let socket = types::Fd(socket.as_raw_fd());
    let mut pieces = payload.pieces(from);
    let first = pieces.next();
    let Some(second) = pieces.next() else {
        let (start, len) = first.map_or((std::ptr::null(), 0), |only| (only.as_ptr(), only.len()));
        let send = opcode::Send::new(socket, start, u32::try_from(len).unwrap_or(u32::MAX));
        return (send.flags(libc::MSG_NOSIGNAL).build(), None);
    };
    let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    // SAFETY: all zeros are a header without name, pieces and control data.
    let header = unsafe { std::mem::zeroed() };
    let mut message = Box::new(Message { header, pieces: [nothing; super::MOST_PIECES] });
    let pieces = first.into_iter().chain([second]).chain(pieces);
    for (place, piece) in message.pieces.iter_mut().zip(pieces) {
        // Only read from.
        *place = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
        message.header.msg_iovlen += 1;
    }
    message.header.msg_iov = message.pieces.as_mut_ptr();
    let entry = opcode::SendMsg::new(socket, &raw const message.header).flags(libc::MSG_NOSIGNAL as u32).build();
    (entry, Some(message))
}
