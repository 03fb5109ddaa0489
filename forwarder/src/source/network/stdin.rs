//! Standard input, read to its end.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::sync::{oneshot, watch};

use super::frames::Frames;
use super::intake::Intake;
use super::stream::Stream;
use super::{Listener, STOP_PATIENCE, stopped};
use crate::source::clock::realtime_ns;
use crate::source::memlogd::descriptor::{Descriptor, Kind};

/// What is read, and the flags that it had: they are shared with whoever gave it to us.
pub(super) struct StandardInput {
    descriptor: Descriptor,
    flags: OFlags,
}

impl StandardInput {
    /// # Errors
    /// Where it is nothing that can be read, as a device.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let flags = fcntl_getfl(&stdin)?;
        let descriptor = Descriptor::new(stdin).map_err(io::Error::other)?;
        Ok(Self { descriptor, flags })
    }
}

/// Reads to the end, and says so by `ended`; at a stop, what has come by then.
pub(super) async fn serve(
    input: StandardInput,
    listener: Rc<Listener>,
    intake: Rc<Intake>,
    mut stop: watch::Receiver<bool>,
    ended: Option<oneshot::Sender<()>>,
) {
    let kind = input.descriptor.kind;
    let stream = match Stream::new(input.descriptor) {
        Ok(stream) => stream,
        Err(error) => return tracing::error!("standard input can't be read: {error}"),
    };
    let mut frames = Frames::of(&listener, None);
    let reading = tokio::select! {
        biased;
        () = stopped(&mut stop) => None,
        read = stream.read_all(&listener, &intake, &mut frames) => Some(read),
    };
    let is_end = reading.is_some();
    let left = match reading {
        Some(read) => read.map(|()| 0),
        // Its rest is as far away as any end of a file.
        None if matches!(kind, Kind::File { .. }) => Ok(stream.unread().unwrap_or(0)),
        None => stream.read_rest(&listener, &intake, &mut frames, STOP_PATIENCE).await,
    };
    match left {
        Ok(0) => {}
        Ok(left) => tracing::warn!("{left} bytes of standard input were not read"),
        Err(error) => tracing::error!("standard input can't be read any more: {error}"),
    }
    intake.take_unfinished(&listener, &mut frames, realtime_ns(), true);
    intake.seal_soon();
    if kind == Kind::Terminal {
        // Else the shell behind us would find it as we have set it.
        let _ = fcntl_setfl(io::stdin(), input.flags);
    }
    if is_end && let Some(ended) = ended {
        let _ = ended.send(());
    }
}
