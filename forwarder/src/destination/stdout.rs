//! stdout: one record a line, in large writes.
//!
//! Whatever stdout is (pipe, terminal, file, socket), writing may block, and its flags belong to others too, so
//! they stay as they are: a thread of its own writes, and waits where a non-blocking one is full. While it writes,
//! the next buffer is filled. That thread is never waited for: a reader that has stopped reading must not hold up
//! the end of the program.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::outbox::{Left, Outbox};
use super::{DestinationError, DrainReport, Task, WRITE_BYTES};
use crate::sys::files;

/// Runs until everything is written and the ring is closed, until the deadline, or until nobody reads any more.
pub(super) async fn run(task: Task<'_>) -> DrainReport {
    let stdout = match std::io::stdout().as_fd().try_clone_to_owned() {
        Ok(stdout) => stdout,
        Err(error) => return failed(error),
    };
    run_on(task, stdout).await
}

fn failed(error: io::Error) -> DrainReport {
    let error = match error.kind() {
        io::ErrorKind::BrokenPipe => DestinationError::StdoutClosed(error),
        _ => DestinationError::Stdout(error),
    };
    DrainReport { error: Some(error), ..DrainReport::default() }
}

async fn run_on(task: Task<'_>, stdout: OwnedFd) -> DrainReport {
    let Task { config: _, cursor, counters, stop, mut encoder } = task;
    let mut writer = match Writer::start(stdout) {
        Ok(writer) => writer,
        Err(error) => return failed(error),
    };
    counters.set_connected(true);
    let mut outbox = Outbox::default();
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    // Records and bytes being written; bytes of the stream written so far.
    let mut in_flight: Option<(u32, usize)> = None;
    let mut pending_records = 0;
    let mut written = 0;
    let mut ring_ended = false;
    let mut report = DrainReport::default();
    loop {
        while bytes.len() < WRITE_BYTES {
            if !outbox.has_pending() {
                let Some(batch) = cursor.try_next() else { break };
                counters.received.add(u64::from(batch.batch.record_count()));
                outbox.push(batch);
            }
            let done = outbox.encode(&mut encoder, u32::MAX, WRITE_BYTES, &mut bytes, &mut ends);
            counters.cut.add(done.report.cut);
            counters.oversized.add(done.report.oversized);
            pending_records += done.records;
        }
        if in_flight.is_none() && !bytes.is_empty() {
            in_flight = Some((pending_records, bytes.len()));
            writer.write(std::mem::take(&mut bytes));
            ends.clear();
            pending_records = 0;
        }
        if in_flight.is_none() && ring_ended {
            break;
        }
        tokio::select! {
            biased;
            done = writer.done(), if in_flight.is_some() => {
                let (records, _) = in_flight.take().unwrap_or_default();
                written += done.written as u64;
                counters.sent_bytes.add(done.written as u64);
                let proven = outbox.prove(written, |batch, records| cursor.acknowledge(batch, records));
                counters.acknowledged.add(proven);
                if let Err(error) = done.result {
                    counters.set_error(error.to_string());
                    report = failed(error);
                    break;
                }
                counters.sent.add(u64::from(records));
                if bytes.capacity() == 0 {
                    bytes = done.buffer;
                    bytes.clear();
                    bytes.shrink_to(2 * WRITE_BYTES);
                }
            }
            batch = cursor.next(), if !ring_ended && !outbox.has_pending() && bytes.len() < WRITE_BYTES => match batch {
                Some(batch) => {
                    counters.received.add(u64::from(batch.batch.record_count()));
                    outbox.push(batch);
                }
                None => ring_ended = true,
            },
            () = stop.ended() => break,
        }
    }
    let in_flight = in_flight.map_or(0, |(_, bytes)| bytes as u64);
    outbox.rewind(written + in_flight);
    let Left { unsent, unconfirmed } = outbox.left();
    DrainReport { unsent, unconfirmed, ..report }
}

/// The thread that writes.
struct Writer {
    buffers: mpsc::Sender<Vec<u8>>,
    done: UnboundedReceiver<Done>,
}

struct Done {
    buffer: Vec<u8>,
    written: usize,
    result: io::Result<()>,
}

impl Writer {
    fn start(stdout: OwnedFd) -> io::Result<Self> {
        let (buffers, to_write) = mpsc::channel::<Vec<u8>>();
        let (report, done) = unbounded_channel();
        std::thread::Builder::new().name("ringward-stdout".into()).spawn(move || {
            for buffer in to_write {
                let (written, result) = files::write_all(&stdout, &buffer);
                if report.send(Done { buffer, written, result }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { buffers, done })
    }

    fn write(&self, buffer: Vec<u8>) {
        // The thread ends only after the receiving side of `done`, or with this sender.
        let _ = self.buffers.send(buffer);
    }

    async fn done(&mut self) -> Done {
        let gone = || io::Error::other("the writing thread has ended");
        self.done.recv().await.unwrap_or_else(|| Done { buffer: Vec::new(), written: 0, result: Err(gone()) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::destination::{DestinationConfig, Encoders, Endpoint, stop_channel};
    use crate::io::{IoMode, run as run_io};
    use crate::observe::counters::DestinationCounters;
    use crate::record::{BatchBuilder, Origin, OriginHandle, OriginKind, RecordMeta};
    use crate::ring::{ReaderOptions, Ring, RingLimits};

    const LINES: u64 = 5_000;

    /// A ring with numbered lines, closed.
    fn ring() -> Arc<Ring> {
        let ring = Ring::new(RingLimits { bytes: 64 << 20, records: u64::MAX }, 1);
        let origin = OriginHandle::new(Origin::new(OriginKind::Service, "test"));
        let mut builder = BatchBuilder::new(64 << 10);
        for number in 0..LINES {
            let body = format!("{number:0200}");
            builder.push(&origin, RecordMeta::line(0, body.as_bytes()), body.as_bytes());
        }
        ring.append(builder.seal());
        ring.close();
        ring
    }

    fn write_to(stdout: impl Into<OwnedFd>, bound: Option<Duration>) -> (DrainReport, DestinationCounters) {
        let config = DestinationConfig::new("stdout", Endpoint::Stdout);
        let counters = DestinationCounters::default();
        let mut cursor = ring().reader(ReaderOptions::new("stdout"));
        let (handle, stop) = stop_channel();
        let report = run_io(IoMode::Epoll, async {
            if let Some(bound) = bound {
                handle.drain_until(Instant::now() + bound);
            }
            let encoder = Encoders::default().encoder(config.encoding(), cursor.wanted());
            let task = Task { config: &config, cursor: &mut cursor, counters: &counters, stop: &stop, encoder };
            run_on(task, stdout.into()).await
        });
        (report.unwrap(), counters)
    }

    fn read_all(pipe: PipeReader) -> std::thread::JoinHandle<u64> {
        std::thread::spawn(move || {
            let mut next = 0;
            for line in BufReader::new(pipe).lines() {
                let value: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                assert_eq!(value["msg"].as_str().unwrap().parse::<u64>().unwrap(), next);
                next += 1;
            }
            next
        })
    }

    #[test]
    fn a_pipe_gets_every_line_blocking_or_not() {
        for non_blocking in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            rustix::io::ioctl_fionbio(&writer, non_blocking).unwrap();
            let reader = read_all(reader);
            let (report, counters) = write_to(writer, None);
            assert!(report.is_complete(), "{report:?}");
            assert_eq!(reader.join().unwrap(), LINES);
            assert_eq!((counters.sent.value(), counters.acknowledged.value()), (LINES, LINES));
        }
    }

    #[test]
    fn a_reader_that_is_gone_ends_it_with_a_clear_error() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (report, _) = write_to(writer, None);
        assert!(report.error.unwrap().to_string().starts_with("nobody reads stdout any more: Broken pipe"));
        assert_eq!(report.unsent, LINES);
    }

    #[test]
    fn a_reader_that_does_not_read_holds_up_nothing_at_the_end() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let begin = std::time::Instant::now();
        let (report, counters) = write_to(writer, Some(Duration::from_millis(200)));
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert!(report.unconfirmed > 0, "{report:?}");
        assert_eq!(report.unsent + report.unconfirmed + counters.acknowledged.value(), LINES);
    }
}
