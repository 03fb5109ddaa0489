//! A send through io_uring that owns what it sends.

use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::{cqueue, opcode, types};
use socket2::Socket;
use tokio_uring::{OneshotOutputTransform, UnsubmittedOneshot};

/// What must outlive the operation: a dropped future leaves it running.
struct SendData {
    _socket: Rc<Socket>,
    buffer: Vec<u8>,
}

struct SendResult;

impl OneshotOutputTransform for SendResult {
    type Output = (io::Result<usize>, Vec<u8>);
    type StoredData = SendData;

    fn transform_oneshot_output(self, data: SendData, entry: cqueue::Entry) -> Self::Output {
        let result = usize::try_from(entry.result()).map_err(|_| io::Error::from_raw_os_error(-entry.result()));
        (result, data.buffer)
    }
}

/// Sends `buffer[from..]`, waiting until the socket takes at least a part of it.
///
/// # Panics
/// Outside of an io_uring runtime.
pub(super) async fn send(socket: Rc<Socket>, buffer: Vec<u8>, from: usize) -> (io::Result<usize>, Vec<u8>) {
    let part = &buffer[from..];
    // The heap block that `part` points into stays where it is while `SendData` owns the vector.
    let entry =
        opcode::Send::new(types::Fd(socket.as_raw_fd()), part.as_ptr(), u32::try_from(part.len()).unwrap_or(u32::MAX))
            .flags(libc::MSG_NOSIGNAL)
            .build();
    UnsubmittedOneshot::new(SendData { _socket: socket, buffer }, SendResult, entry).submit().await
}
