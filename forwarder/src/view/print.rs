//! Entries on standard output, as `time;source;msg`, by a thread that alone waits for whoever reads them.
//!
//! A reader that stops reading holds up nobody: what the ring lets go of meanwhile is not printed, and one entry says
//! how much that was. One that goes away ends the printing, and nothing else.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::entry::{Entries, EntryFormat};
use crate::ring::{Cursor, ReaderOptions, Ring, Start};
use crate::sys::files;

/// Bytes of one write, about.
const WRITE_BYTES: usize = 64 << 10;
/// How long the end waits for what is still to be printed.
const DRAIN: Duration = Duration::from_secs(1);

/// A running printer.
pub struct PrintHandle {
    done: Receiver<()>,
}

impl PrintHandle {
    /// Waits until everything is printed, but not for a reader that does not read. The ring has been closed before.
    pub fn stop(self) {
        let _ = self.done.recv_timeout(DRAIN);
    }
}

/// Starts printing what comes.
///
/// # Errors
/// Where standard output can't be copied, or no thread be had.
pub fn start(ring: &Arc<Ring>) -> io::Result<PrintHandle> {
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    start_on(stdout, ring)
}

fn start_on(stdout: OwnedFd, ring: &Arc<Ring>) -> io::Result<PrintHandle> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    // What an earlier run has left in the ring was printed by that.
    let options = ReaderOptions { start: Start::Newest, sets_pace: false, ..ReaderOptions::new("standard output") };
    let cursor = ring.reader(options);
    let (finished, done) = channel();
    std::thread::Builder::new().name("print".into()).spawn(move || {
        runtime.block_on(print(cursor, &stdout));
        // Whoever waited may have gone.
        let _ = finished.send(());
    })?;
    Ok(PrintHandle { done })
}

async fn print(mut cursor: Cursor, stdout: &OwnedFd) {
    let mut entries = Entries::new(EntryFormat::Print, false);
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    while let Some(batch) = cursor.next().await {
        let mut next = 0;
        while next < batch.batch.record_count() {
            let records = next..batch.batch.record_count();
            next += entries.encode(&batch.batch, records, WRITE_BYTES, &mut out, &mut ends);
            if files::write_all(stdout, &out).1.is_err() {
                return;
            }
            out.clear();
            ends.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
    use crate::ring::RingLimits;

    fn append(ring: &Ring, from: u32, count: u32) {
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, "s"));
        let mut builder = BatchBuilder::new(64 << 10);
        for number in from..from + count {
            let body = format!("{number:0>100}");
            builder.push(&origin, RecordMeta::line(0, body.as_bytes()), body.as_bytes());
        }
        ring.append(builder.seal());
    }

    #[test]
    fn a_reader_that_stopped_is_told_what_it_missed() {
        let ring = Ring::new(RingLimits { bytes: 1 << 20, records: 500 }, 1);
        let (read, write) = pipe().unwrap();
        let handle = start_on(write.into(), &ring).unwrap();
        // A pipe takes 64 KiB: the rest waits in the ring, which takes less.
        for batch in 0..100 {
            append(&ring, batch * 100, 100);
        }
        ring.close();
        let mut text = String::new();
        { read }.read_to_string(&mut text).unwrap();
        handle.stop();
        let (mut shown, mut missed, mut reports) = (0, 0, 0);
        for line in text.lines() {
            match line.split_once(" records were lost before they could be sent to standard output, written between ") {
                Some((count, _)) => {
                    reports += 1;
                    missed += count.rsplit_once(';').unwrap().1.parse::<u32>().unwrap();
                }
                None => {
                    assert_eq!(line, format!("1970-01-01T00:00:00Z;s;{:0>100}", shown + missed));
                    shown += 1;
                }
            }
        }
        assert_eq!(shown + missed, 10_000);
        assert!(missed > 0 && reports > 0, "{missed} in {reports} reports");
    }
}
